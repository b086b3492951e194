// A real browser with a virtual authenticator: its person makes a passkey, is verified with it, and is asked for it.
// Arguments: address of the request, user name, password, fingerprint of the server's key, lines of the document,
// directory for pictures.
import { launch, looker, passkeys } from "./browser_look.mjs";

const [asked, username, password, key, lines, pictures] = process.argv.slice(2);
const browser = await launch(key);
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await passkeys(page);
  const { look, seen } = looker(pictures, [[390, 844], [1280, 800]]);
  const click = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);

  // The client is nowhere: where the browser is sent in the end is known from its request.
  await page.setRequestInterception(true);
  let land;
  const landed = new Promise((done) => { land = done; });
  page.on("request", (request) => {
    if (request.url().startsWith("https://rp.example/")) {
      land(request.url());
      return request.respond({ status: 200, contentType: "text/html", body: "<h1>back</h1>" });
    }
    return request.continue();
  });

  await page.goto(asked);
  await page.type("[name=username]", username);
  await page.type("[name=password]", password);
  await click(".login-submit");
  await page.waitForSelector(".passkey-add", { visible: true });
  await look(page, "first");
  await click(".passkey-add");
  await page.waitForSelector(".passkey-login", { visible: true });
  await click(".passkey-login");
  await page.waitForFunction(() => location.pathname === "/verify");
  await click("main button[type=submit]:not(.small)");
  await page.type("[name=mrz]", lines);
  await page.click("main button[type=submit]:not(.small)");
  const back = await landed;

  // Once more with the password alone: it is asked for.
  const again = await browser.createBrowserContext();
  const other = await again.newPage();
  await other.goto(asked);
  await other.type("[name=username]", username);
  await other.type("[name=password]", password);
  await Promise.all([other.waitForNavigation(), other.click(".login-submit")]);
  await look(other, "bound");
  console.log(JSON.stringify({ landed: back, seen, complaints }));
} finally {
  await browser.close();
}
