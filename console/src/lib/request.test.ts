import { expect, test } from "vitest";
import { paste } from "./request";

test("a request as it is sent", () => {
  expect(paste("PUT /orders/7?x=1 HTTP/1.1\r\nHost: api.example.org:8443\r\nAuthorization: Bearer a:b\r\n\r\n{}")).toEqual({
    method: "PUT", path: "/orders/7?x=1", host: "api.example.org:8443", headers: [{ name: "Authorization", value: "Bearer a:b" }],
  });
  expect(paste("GET /status")).toEqual({ method: "GET", path: "/status", headers: [] });
});

test("a command of curl", () => {
  const text = `curl 'https://api.example.org/orders/7?q=a%20b' \\\n  -H 'accept: application/json' -H "x-note: say \\"hi\\"" \\\n  -b 'a=1' --data-raw '{"a":1}' --compressed -o /dev/null`;
  expect(paste(text)).toEqual({
    method: "POST", path: "/orders/7?q=a%20b", host: "api.example.org",
    headers: [{ name: "accept", value: "application/json" }, { name: "x-note", value: 'say "hi"' }, { name: "cookie", value: "a=1" }],
  });
  expect(paste("curl -X DELETE localhost:8443/x").method).toBe("DELETE");
  expect(paste("curl -I https://a.example").path).toBe("/");
});

test.each(["", "hello", "get /x", "GET /x\nno colon", "curl", "curl -H 'a: b'", "curl https://"])("%j is no request", (text) => {
  expect(() => paste(text)).toThrow();
});
