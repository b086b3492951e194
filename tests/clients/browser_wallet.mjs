// Somebody with a wallet: takes a proof from the page of their account, and shows it instead of a document.
// Arguments: fingerprint of the server's key, directory for pictures, and as JSON { issuer, username, password,
// sessions: addresses of two verifications }. Each line that is printed has a link for the wallet; the next line of
// the input says that it was there.
import { createInterface } from "node:readline";
import { launch, looker } from "./browser_look.mjs";

const [key, pictures, asked] = process.argv.slice(2);
const { issuer, username, password, session } = JSON.parse(asked);
const browser = await launch(key);
const { look, seen } = looker(pictures);
const complaints = [];
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function open(width, height) {
  const page = await (await browser.createBrowserContext()).newPage();
  await page.setViewport({ width, height });
  page.on("console", (line) => { if (line.type() === "error") complaints.push(line.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}
const click = (page, selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
async function wallet(page, selector) {
  console.log(JSON.stringify({ link: await page.$eval(selector, (link) => link.getAttribute("href")) }));
  await lines.next();
}

try {
  const page = await open(1280, 800);
  await page.goto(`${issuer}/login`);
  await page.type("[name=username]", username);
  await page.type("[name=password]", password);
  await click(page, ".login-submit");
  await page.goto(`${issuer}/account`);
  await click(page, 'a[href="/account/wallet"]');
  await look(page, "empty");
  await click(page, 'form[action="/account/wallet"] button');
  await look(page, "offer");
  await wallet(page, "#offer");
  await page.goto(`${issuer}/account/wallet`);
  await look(page, "held");

  const phone = await open(390, 844);
  await phone.goto(session);
  await look(phone, "welcome");
  await click(phone, "button[type=submit]:not(.small)");
  await look(phone, "wallet");
  await click(phone, "form.full button[type=submit]");
  await look(phone, "request");
  await wallet(phone, "#request");
  // It goes on by itself.
  await phone.waitForFunction(() => document.querySelector("h1")?.textContent === "You are verified", { timeout: 30000 });
  await look(phone, "verified");
  console.log(JSON.stringify({ seen, complaints }));
} finally {
  await browser.close();
}
process.exit(0);
