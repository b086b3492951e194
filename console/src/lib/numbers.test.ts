import { expect, test } from "vitest";
import { against, number } from "./numbers";

test.each([
  [1_204, "count", "1,204"], [1.26, "count", "1.3"], [2_345_678, "count", "2.35M"], [0, "count", "0"],
  [3.2154, "ms", "3.22 ms"], [1_530, "ms", "1.53 s"], [0.444, "%", "0.44 %"], [12.34, "%", "12.3 %"],
])("%d %s", (value, unit, text) => expect(number(value, unit, "en")).toBe(text));

test("what is not known is no zero", () => {
  expect(number(null, "ms", "en")).toBe("—");
  expect(number(1_204, "count", "de")).toBe("1.204");
});

test.each([
  [100, 100, "as usual"], [125, 100, "as usual"], [140, 100, "more"], [40, 100, "less"], [5, 2, "as usual"], [60, 2, "more"], [0, 1, "as usual"],
])("%d where %d is usual is %s", (value, usual, told) => expect(against(value, usual)).toBe(told));

test("without a usual nothing is said", () => expect(against(5, null)).toBeUndefined());
