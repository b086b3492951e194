// What each test in a browser looks at: axe-core in light and dark, nothing that is wider than the screen, a picture.
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import puppeteer from "puppeteer-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** A browser that trusts the server with this key, and takes its own machine for localhost. */
export function launch(key, ...more) {
  return puppeteer.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", `--ignore-certificate-errors-spki-list=${key}`, "--host-resolver-rules=MAP localhost 127.0.0.1", ...more],
  });
}

/** Gives a page a device that keeps passkeys, checks who uses it, and agrees to everything. */
export async function passkeys(page) {
  const devtools = await page.createCDPSession();
  await devtools.send("WebAuthn.enable");
  await devtools.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true,
      isUserVerified: true, automaticPresenceSimulation: true,
    },
  });
}

/** Looks at pages and keeps what was seen; `sizes` are those of the window, none for the one that it has. */
export function looker(pictures, sizes = [null]) {
  mkdirSync(pictures, { recursive: true });
  const seen = [];
  async function look(page, what) {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      for (const size of sizes) {
        if (size) await page.setViewport({ width: size[0], height: size[1] });
        // Through the debugger, which the page's policy does not bind.
        await page.evaluate(axe);
        const found = await page.evaluate(async () => {
          const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
          const { violations, passes } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
          const brief = ({ id, nodes }) => `${id}: ${nodes.map((node) => node.html.slice(0, 200)).join(" | ")}`;
          return { violations: violations.map(brief), passes: passes.length };
        });
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        const title = await page.$eval("h1", (heading) => heading.textContent);
        const name = size ? `${what}-${scheme}-${size[0]}` : `${what}-${scheme}`;
        seen.push({ what, scheme, title, width: size?.[0], overflow, ...found });
        await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
      }
    }
  }
  return { look, seen };
}
