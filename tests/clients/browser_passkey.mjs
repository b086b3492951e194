// A real browser with a virtual authenticator: adds a passkey, logs out, and logs in with it.
// Arguments: issuer, user name, password, fingerprint of the server's key, directory for pictures.
import { mkdirSync } from "node:fs";
import { launch, passkeys } from "./browser_look.mjs";

const [issuer, username, password, key, pictures] = process.argv.slice(2);
mkdirSync(pictures, { recursive: true });
const browser = await launch(key);
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await passkeys(page);
  const click = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);

  await page.goto(`${issuer}/login`);
  await page.screenshot({ path: `${pictures}/login.png` });
  await page.type("[name=username]", username);
  await page.type("[name=password]", password);
  await click(".login-submit");
  await page.goto(`${issuer}/account/security`);
  await click(".passkey-add");
  await page.waitForSelector("li.passkey");
  await page.screenshot({ path: `${pictures}/security.png`, fullPage: true });

  await click("form[action='/account/totp/begin'] button");
  await page.screenshot({ path: `${pictures}/totp.png`, fullPage: true });

  // On the login page the passkey is offered at once, and behind a button. The virtual device
  // agrees to whichever comes first: perhaps before anybody could look at the login page, so that
  // it was there is known from the browser's word of it.
  await page.goto(`${issuer}/account`);
  const atLogin = new Promise((seen) => page.on("framenavigated", (frame) => {
    if (new URL(frame.url()).pathname === "/login") seen();
  }));
  await page.click("form[action='/logout'] button");
  await atLogin;
  const inside = () => location.pathname === "/account" && document.querySelector("dl");
  const button = page.waitForSelector(".passkey-login", { visible: true });
  const pressed = button.then((found) => found.click());
  await Promise.race([pressed, page.waitForFunction(inside)]).catch(() => {});
  await page.waitForFunction(inside);
  const text = await page.$eval("main", (main) => main.innerText);
  console.log(JSON.stringify({ url: page.url(), text, complaints }));
} finally {
  await browser.close();
}
