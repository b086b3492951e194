// Somebody with Chromium at a single-page application: logs in, comes back, reloads, logs out.
// Arguments: address of the application, user name, password, fingerprint of the provider's key.
import puppeteer from "puppeteer-core";

const [app, username, password, key] = process.argv.slice(2);
const browser = await puppeteer.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", `--ignore-certificate-errors-spki-list=${key}`, "--host-resolver-rules=MAP localhost 127.0.0.1"],
});
const complaints = [];
try {
  const page = await browser.newPage();
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  const click = (selector) => Promise.all([page.waitForNavigation(), page.click(selector)]);
  const who = async () => {
    await page.waitForFunction(() => document.querySelector("#who")?.textContent, { timeout: 10_000 });
    return page.$eval("#who", (element) => element.textContent);
  };
  const seen = {};
  await page.goto(`${app}/`);
  seen.before = await who();
  await click("#login");
  await page.type("[name=username]", username);
  await page.type("[name=password]", password);
  await click(".login-submit");
  seen.after = await who();
  seen.url = page.url();
  await page.reload();
  seen.reloaded = await who();
  await click("#logout");
  seen.left = await who();
  await click("#login");
  seen.again = new URL(page.url()).pathname;
  console.log(JSON.stringify({ ...seen, complaints }));
} catch (error) {
  console.error(complaints.join("\n"));
  throw error;
} finally {
  await browser.close();
}
