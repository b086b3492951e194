// Somebody opens the link of a verification and looks at its first step, at a desk and on a phone.
// Arguments: fingerprint of the server's key, directory for pictures, the link.
import { launch, looker } from "./browser_look.mjs";

const [key, pictures, url] = process.argv.slice(2);
const browser = await launch(key);
const { look, seen } = looker(pictures, [[360, 740], [1280, 800]]);
const complaints = [];
try {
  const page = await browser.newPage();
  page.on("console", (line) => { if (line.type() === "error") complaints.push(line.text()); });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(url);
  await Promise.all([page.waitForNavigation(), page.click("button[type=submit]:not(.small)")]);
  await look(page, "step");
  console.log(JSON.stringify({ seen, complaints }));
} finally {
  await browser.close();
}
