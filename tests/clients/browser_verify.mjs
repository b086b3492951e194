// A person with a phone: through a verification on our page, with a camera that shows what a file has.
// Arguments: fingerprint of the server's key, what the camera sees (Y4M), directory for pictures, and what to do
// as JSON: { url, wrong, lines }.
import { launch, looker } from "./browser_look.mjs";

const [key, sight, pictures, asked] = process.argv.slice(2);
const { url, wrong, lines } = JSON.parse(asked);
const browser = await launch(key, "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
  `--use-file-for-fake-video-capture=${sight}`);
const { look, seen } = looker(pictures);
const complaints = [];
const SCREENS = { phone: [390, 844], desk: [1280, 800] };

async function open(screen, context) {
  const page = await context.newPage();
  const [width, height] = SCREENS[screen];
  await page.setViewport({ width, height, isMobile: screen === "phone", hasTouch: screen === "phone" });
  page.on("console", (line) => { if (line.type() === "error") complaints.push(line.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return page;
}
const click = (page, selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
const title = (page, text) =>
  page.waitForFunction((text) => document.querySelector("h1")?.textContent === text, { timeout: 30000 }, text);

try {
  // Somebody opens the link at their desk, where the camera is bad, and goes on with the phone.
  const desk = await open("desk", await browser.createBrowserContext());
  await desk.goto(url);
  await look(desk, "desk-welcome");
  await click(desk, "button[type=submit]:not(.small)");
  const address = desk.url();
  await desk.click("details.phone summary");
  await look(desk, "desk-phone");

  const phone = await open("phone", await browser.createBrowserContext());
  await phone.goto(url);
  await look(phone, "welcome");
  await click(phone, "button[type=submit]:not(.small)");
  await look(phone, "lines");
  await phone.type("#mrz", wrong);
  await click(phone, "form[data-kind] button[type=submit]");
  await look(phone, "again");
  const alert = await phone.$eval("[role=alert]", (text) => text.textContent);
  const kept = await phone.$eval("#mrz", (field) => field.value);
  await phone.$eval("#mrz", (field) => { field.value = ""; });
  await phone.type("#mrz", lines);
  await click(phone, "form[data-kind] button[type=submit]");
  await look(phone, "picture");

  // The desk follows by itself.
  await title(desk, "Photograph the back of your licence");

  await phone.waitForSelector("[data-camera]:not([hidden])");
  await phone.click("[data-open]");
  await phone.waitForFunction(() => document.querySelector("video").videoWidth > 0);
  await phone.waitForFunction(() => document.querySelector("[data-said]").textContent !== "");
  const hint = await phone.$eval("[data-said]", (text) => text.textContent);
  await look(phone, "camera");
  await phone.click("[data-take]");
  await phone.waitForSelector("canvas[data-taken]:not([hidden])");
  await look(phone, "taken");
  await phone.click("form[data-kind] button[type=submit]");
  await title(phone, "You are verified");
  await look(phone, "verified");
  await title(desk, "You are verified");
  const left = await phone.evaluate(() => sessionStorage.length);
  const back = await phone.$eval("a.button", (link) => link.href);
  console.log(JSON.stringify({ seen, complaints, address, alert, hint, back, kept, left }));
} finally {
  await browser.close();
}
