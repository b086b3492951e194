import { expect, test } from "vitest";
import { ago, since, whole } from "./time";

const now = new Date("2027-03-01T12:00:00Z");

test("how long ago it was, in each language", () => {
  expect(ago(new Date("2027-03-01T11:55:00Z"), now, "en")).toBe("5 minutes ago");
  expect(ago(new Date("2027-03-03T12:00:00Z"), now, "de")).toBe("übermorgen");
  expect(ago(now, now, "fr")).toBe("maintenant");
});

test("a time says its zone", () => {
  expect(whole(now, "en")).toMatch(/2027.*(UTC|GMT|[A-Z]{3,4})/);
});

test.each([["15m", 900], ["24h", 86_400], ["7d", 604_800]])("%s is %d seconds", (span, seconds) => {
  expect((now.getTime() - since(span, now)!.getTime()) / 1_000).toBe(seconds);
});

test.each(["", "all", "1y", "-1h", "99999h", "1h2"])("%j is no span", (span) => {
  expect(since(span, now)).toBeUndefined();
});
