// People with two browsers, of which one is used twice: which keys they keep.
// Arguments: fingerprint of the server's key, directory for profiles, the lines of the document, addresses, and
// `--broken=` with how the browser keeps no keys.
import { launch } from "./browser_look.mjs";

const [key, profiles, lines, ...rest] = process.argv.slice(2);
const urls = rest.filter((one) => !one.startsWith("--"));
const broken = rest.find((one) => one.startsWith("--broken="))?.split("=")[1];

/** As browsers are that keep no keys, in private windows and elsewhere. */
function breaks(how) {
  if (how === "none") Object.defineProperty(window, "indexedDB", { value: undefined });
  if (how === "silent") IDBFactory.prototype.open = () => ({});
  if (how === "store") IDBDatabase.prototype.transaction = () => { throw new DOMException("no store", "NotFoundError"); };
  if (how === "clone") IDBObjectStore.prototype.add = () => { throw new DOMException("no keys", "DataCloneError"); };
}
const complaints = [];
const click = (page, selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
let extractable = null;

for (const [at, url] of urls.entries()) {
  const browser = await launch(key, `--user-data-dir=${profiles}/${at === 2 ? "other" : "same"}`, "--lang=de-DE");
  try {
    const page = await browser.newPage();
    await page.emulateTimezone("Asia/Tokyo");
    page.on("console", (line) => { if (line.type() === "error") complaints.push(line.text()); });
    page.on("pageerror", (error) => complaints.push(String(error)));
    if (broken) await page.evaluateOnNewDocument(breaks, broken);
    await page.goto(url);
    await click(page, "button[type=submit]:not(.small)");
    await page.type("#mrz", lines);
    await page.click("form[data-kind] button[type=submit]");
    await page.waitForFunction(() => document.querySelector("[role=status],h1") && !document.querySelector("#mrz"), { timeout: 30000 });
    if (!broken) extractable = await page.evaluate(() => new Promise((done) => {
      const opening = indexedDB.open("portcullis", 1);
      opening.onsuccess = () => {
        const asked = opening.result.transaction("keys").objectStore("keys").get("device");
        asked.onsuccess = () => done(asked.result.privateKey.extractable);
      };
    }));
  } finally {
    await browser.close();
  }
}
console.log(JSON.stringify({ complaints, extractable }));
