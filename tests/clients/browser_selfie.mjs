// A person with a phone takes a picture of themselves on our page, with a camera that shows what a file has.
// Arguments: fingerprint of the server's key, what the camera sees (Y4M), directory for pictures, the address.
import { launch, looker } from "./browser_look.mjs";

const [key, sight, pictures, url] = process.argv.slice(2);
const browser = await launch(key, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
  `--use-file-for-fake-video-capture=${sight}`);
const { look, seen } = looker(pictures);
const complaints = [];
const click = (page, selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);

try {
  const phone = await browser.newPage();
  await phone.setViewport({ width: 390, height: 844, isMobile: true, hasTouch: true });
  phone.on("console", (line) => { if (line.type() === "error") complaints.push(line.text()); });
  phone.on("pageerror", (error) => complaints.push(String(error)));
  await phone.goto(url);
  await look(phone, "welcome");
  const told = await phone.$eval("main", (main) => main.textContent);
  await click(phone, "button[type=submit]:not(.small)");
  await look(phone, "selfie");
  await phone.waitForSelector("[data-camera]:not([hidden])");
  await phone.click("[data-open]");
  await phone.waitForFunction(() => document.querySelector("video").videoWidth > 0);
  await phone.waitForFunction(() => document.querySelector("[data-said]").textContent !== "");
  const hint = await phone.$eval("[data-said]", (text) => text.textContent);
  await look(phone, "camera");
  await phone.click("[data-take]");
  await phone.waitForSelector("canvas[data-taken]:not([hidden])");
  await look(phone, "taken");
  // Nothing is sent before they agree.
  await phone.click("form[data-kind] button[type=submit]");
  const unsent = await phone.$eval("#agree", (box) => box.matches(":invalid"));
  await phone.click("#agree");
  await phone.click("form[data-kind] button[type=submit]");
  const verified = () => document.querySelector("h1")?.textContent === "You are verified";
  await phone.waitForFunction(verified, { timeout: 30000 });
  await look(phone, "verified");
  console.log(JSON.stringify({ seen, complaints, hint, unsent, told }));
} finally {
  await browser.close();
}
