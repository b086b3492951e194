import { expect, test } from "vitest";
import { newer } from "./news";

const finding = (id: string, severity: number, acknowledged_by?: string) => ({ id, severity, title: id, acknowledged_by });
const items = [finding("d", 5), finding("c", 2), finding("b", 4, "root"), finding("a", 5)];

test("only what came after the one that is known, and is severe enough and new", () => {
  expect(newer(items, "a", 4).map((one) => one.id)).toEqual(["d"]);
  expect(newer(items, "a", 2).map((one) => one.id)).toEqual(["d", "c"]);
  expect(newer(items, "d", 2)).toEqual([]);
  // So many came that the one that is known is not among them.
  expect(newer(items, "z", 5).map((one) => one.id)).toEqual(["d", "a"]);
});
