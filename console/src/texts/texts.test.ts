import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import de from "./de.json";
import es from "./es.json";
import fr from "./fr.json";

const catalogs: [string, Record<string, string>][] = [["de", de], ["es", es], ["fr", fr]];
const source = new URL("../", import.meta.url);
const files = readdirSync(source, { recursive: true }).map(String).filter((name) => /\.(svelte|ts)$/.test(name) && !/\.(test|d)\.ts$/.test(name));
const written = files.flatMap((name) => [...readFileSync(new URL(name, source), "utf8").matchAll(/\bt\(\s*"((?:[^"\\]|\\.)+)"/g)].map((match) => match[1]!));
const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort().join();

test.each(catalogs)("%s says everything", (_, catalog) => {
  expect(written.length).toBeGreaterThan(300);
  expect(written.filter((text) => !catalog[text])).toEqual([]);
  expect(Object.keys(catalog).sort()).toEqual(Object.keys(de).sort());
  expect(Object.entries(catalog).filter(([english, text]) => holes(english) !== holes(text) || !text.trim())).toEqual([]);
});
