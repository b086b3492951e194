// How long the first view of the console takes, in a real browser against an installation that runs, and how much of it
// is loaded. Prints Markdown.
//
//     cargo xtask up                       # in another terminal
//     node bench/console.mjs portcullis-data
import { readFileSync } from "node:fs";
import { X509Certificate, createHash } from "node:crypto";
import { connect } from "node:tls";
import { launch } from "../tests/clients/browser_look.mjs";

const LOADS = 21;
const data = process.argv[2] ?? "portcullis-data";
const { issuer, admin } = JSON.parse(readFileSync(`${data}/demo.json`, "utf8"));
const { hostname, port } = new URL(issuer);
const key = await new Promise((done, fail) => {
  const socket = connect({ host: "127.0.0.1", port: Number(port || 443), servername: hostname, rejectUnauthorized: false }, () => {
    const spki = new X509Certificate(socket.getPeerCertificate().raw).publicKey.export({ type: "spki", format: "der" });
    socket.end();
    done(createHash("sha256").update(spki).digest("base64"));
  });
  socket.on("error", fail);
});

const browser = await launch(key);
try {
  const page = await browser.newPage();
  await page.goto(`${issuer}/console`);
  await page.type("[name=username]", admin.username);
  await page.type("[name=password]", admin.password);
  await Promise.all([page.waitForNavigation(), page.click(".login-submit")]);
  const rows = [];
  for (const [name, cache] of [["nothing kept", false], ["scripts kept", true]]) {
    await page.setCacheEnabled(cache);
    const shown = [];
    let bytes = 0;
    for (let at = 0; at < LOADS; at++) {
      await page.goto(`${issuer}/console`, { waitUntil: "domcontentloaded" });
      // Until what waits for somebody is there, and can be clicked.
      await page.waitForSelector("main ul.tiles a");
      shown.push(await page.evaluate(() => performance.now()));
      bytes = await page.evaluate(() => performance.getEntriesByType("resource").filter((one) => one.name.endsWith(".js")).reduce((sum, one) => sum + one.encodedBodySize, 0));
    }
    shown.sort((a, b) => a - b);
    rows.push(`| ${name} | ${shown[(LOADS - 1) / 2].toFixed(0)} ms | ${shown.at(-1).toFixed(0)} ms | ${(bytes / 1024).toFixed(0)} KiB |`);
  }
  console.log(`| Overview, ${LOADS} loads | median | slowest | JavaScript, Brotli |\n|---|---|---|---|\n${rows.join("\n")}`);
} finally {
  await browser.close();
}
