import { expect, test } from "vitest";
import { asked, bounds, chosen, kept, limited, local } from "./range";

const now = new Date("2027-03-01T12:00:00Z");
const query = (text: string) => new URLSearchParams(text);

test.each([
  ["", "24h"], ["range=7d", "7d"], ["range=all", "all"], ["range=x", "24h"], ["range=-1d", "24h"],
  ["from=2027-03-01T00:00:00Z", "custom"], ["from=never&range=1h", "1h"],
])("%j is %s", (text, code) => expect(chosen(query(text))).toBe(code));

test("a range ends now, and one of one's own where it says", () => {
  expect(bounds(query("range=1h"), now)).toEqual({ from: new Date("2027-03-01T11:00:00Z") });
  expect(bounds(query("range=all"), now)).toEqual({});
  expect(asked(query("from=2027-02-01T00:00:00Z&until=2027-02-02T00:00:00Z"), now)).toEqual({ from: "2027-02-01T00:00:00.000Z", until: "2027-02-02T00:00:00.000Z" });
  expect(asked(query("from=2027-02-03T00:00:00Z&until=2027-02-02T00:00:00Z"), now)).toEqual({ from: "2027-02-03T00:00:00.000Z" });
});

test("the range goes along and the rest does not", () => {
  expect(kept(query("range=7d&addr=192.0.2.1&entry=3"))).toEqual({ range: "7d" });
});

test("no more is asked for than there is", () => {
  expect(limited(query("range=all"), now, 35)).toEqual({ from: "2027-01-25T12:00:00.000Z" });
  expect(limited(query("range=60d"), now, 35)).toEqual({ from: "2027-01-25T12:00:00.000Z" });
  expect(limited(query("range=1h"), now, 35)).toEqual({ from: "2027-03-01T11:00:00.000Z" });
});

test("a local time is read as it was written", () => {
  expect(new Date(local(now)).getTime()).toBe(now.getTime());
});
