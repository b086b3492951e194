// A real browser on every page: axe-core, the width of a phone, dark and light, and the keyboard.
// Arguments: issuer, user name, password, fingerprint of the server's key, directory for pictures,
// an authorization request.
import { launch, looker } from "./browser_look.mjs";

const [issuer, username, password, key, pictures, authorize] = process.argv.slice(2);
const browser = await launch(key);
const { look, seen } = looker(pictures, [[360, 740], [1280, 800]]);

try {
  const page = await browser.newPage();
  const click = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
  for (const path of ["login", "register", "forgot-password", "login/mail", "logged-out", "verify-email?token=x"]) {
    await page.goto(`${issuer}/${path}`);
    await look(page, path.replaceAll(/[^a-z]/g, "-"));
  }
  await page.goto(`${issuer}/login`);
  await page.type("[name=username]", username);
  await page.type("[name=password]", "wrong");
  await click(".login-submit");
  await look(page, "refused");

  // Without a mouse: every control is reached in the order in which it is read, and shows it.
  await page.goto(`${issuer}/login`);
  await page.setViewport({ width: 1280, height: 800 });
  const stops = [];
  await page.evaluate(() => document.activeElement.blur());
  for (let count = 0; count < 40; count++) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const at = document.activeElement;
      if (at === document.body) return null;
      const all = [...document.querySelectorAll("a[href],button,input:not([type=hidden]),select")];
      const style = getComputedStyle(at);
      return { place: all.indexOf(at), visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 };
    });
    if (!stop || stops.some(({ place }) => place === stop.place)) break;
    stops.push(stop);
  }

  await page.type("[name=username]", username);
  await page.type("[name=password]", password);
  await click(".login-submit");
  for (const path of ["account", "account/security", "account/delete", "device"]) {
    await page.goto(`${issuer}/${path}`);
    await look(page, path.replaceAll("/", "-"));
  }
  await page.goto(`${issuer}/account/security`);
  await click("form[action='/account/totp/begin'] button");
  await look(page, "totp");
  await page.goto(authorize);
  await look(page, "consent");
  await page.goto(`${issuer}/oauth2/logout`);
  await look(page, "leave");
  console.log(JSON.stringify({ seen, stops }));
} finally {
  await browser.close();
}
