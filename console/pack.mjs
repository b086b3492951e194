// Packs what was built, once, as small as it gets, and holds the first view to its size.
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const FIRST_VIEW_KIB = 250;
const assets = new URL("dist/app/assets/", import.meta.url);
const sizes = new Map();
for (const name of readdirSync(assets)) {
  if (!/\.(js|css|svg)$/.test(name)) continue;
  const plain = readFileSync(new URL(name, assets));
  const packed = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
  if (packed.length < plain.length) writeFileSync(new URL(`${name}.br`, assets), packed);
  sizes.set(name, { gzip: gzipSync(plain).length, brotli: packed.length });
}
// The page, and what is shown first in it with all that it is made of.
const listed = new URL("dist/app/manifest.json", import.meta.url);
const manifest = JSON.parse(readFileSync(listed, "utf8"));
rmSync(listed);
const first = new Set();
const take = (name) => {
  if (first.has(name)) return;
  first.add(name);
  for (const other of manifest[name].imports ?? []) take(other);
};
for (const name of ["index.html", "src/views/Overview.svelte"]) take(name);
const kib = [...first].reduce((sum, name) => sum + sizes.get(manifest[name].file.replace("assets/", "")).gzip, 0) / 1024;
console.log(`first view: ${kib.toFixed(1)} KiB of JavaScript, gzip; everything: ${([...sizes.values()].reduce((sum, one) => sum + one.brotli, 0) / 1024).toFixed(0)} KiB, Brotli`);
if (kib > FIRST_VIEW_KIB) {
  console.error(`the first view has more than ${FIRST_VIEW_KIB} KiB of JavaScript`);
  process.exit(1);
}
