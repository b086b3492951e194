// The console in a real browser, by role and label as its users know it. One line of JSON at the end.
// Arguments: issuer, fingerprint of the server's key, directory for pictures, user name, password, task, what the
// task needs as JSON.
import assert from "node:assert/strict";
import { adminTasks } from "./browser_console_admin.mjs";
import { launch, looker } from "./browser_look.mjs";

const [issuer, key, pictures, username, password, task, given = "{}"] = process.argv.slice(2);
const needs = JSON.parse(given);
/** Where the console is, if not at the issuer's name. */
const home = needs.home ?? issuer;
const browser = await launch(key);
const { look, seen } = looker(pictures, [[390, 844], [1360, 860]]);
/** What must not be: errors, refusals of the policy, requests to anybody else. */
const complaints = [];
/** What the server told this browser, by address. */
const answers = [];
const told = {};

const page = await browser.newPage();
page.setDefaultTimeout(10_000);
await page.setViewport({ width: 1360, height: 860 });
await page.evaluateOnNewDocument(() => {
  addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.target?.outerHTML?.slice(0, 300) ?? ""}`));
});
page.on("console", (line) => { if (["error", "warn"].includes(line.type()) && !/status of 40[0-9]|status of 42/.test(line.text())) complaints.push(line.text()); });
page.on("pageerror", (error) => complaints.push(String(error)));
page.on("request", (request) => { if (![issuer, home].some((own) => request.url().startsWith(`${own}/`)) && !/^(data|blob):/.test(request.url())) complaints.push(`asks ${request.url()}`); });
page.on("response", async (response) => {
  if (!/\/(api|idv)\//.test(response.url())) return;
  answers.push({ url: response.url().slice(issuer.length), status: response.status(), text: await response.text().catch(() => "") });
});

const quiet = () => page.waitForFunction(() => !document.querySelector('[aria-busy="true"], main > [role=status]') && ![...document.querySelectorAll("[role=status]")].some((one) => /^(Loading|Looking)/.test(one.textContent)), { polling: 50 });
const open = async (path) => { await page.goto(`${home}/console${path}`); await page.waitForSelector("main h1"); await quiet(); };
const by = (role, name) => page.locator(`::-p-aria([name="${name}"][role="${role}"])`);
const button = (name) => by("button", name).click();
const shows = (text) => page.waitForFunction((text) => document.body.innerText.includes(text), { polling: 50 }, text);
/** The field that a label begins with this name for, in the dialog if one is open. */
const control = (name) => page.waitForFunction((name) => {
  const within = document.querySelector("dialog[open]") ?? document;
  return [...within.querySelectorAll("input, select, textarea")].find((one) => [...(one.labels ?? [])].some((label) => {
    const copy = label.cloneNode(true);
    copy.querySelectorAll("select, textarea, small").forEach((part) => part.remove());
    return copy.textContent.trim() === name;
  }));
}, { polling: 50 }, name);
const fill = async (name, text) => {
  const field = (await control(name)).asElement();
  await field.evaluate((one) => { one.focus(); one.select?.(); });
  await field.type(text);
};
const select = async (name, value) => { const field = (await control(name)).asElement(); await field.select(value); };
const text = () => page.evaluate(() => document.body.innerText);

async function enter(path = "") {
  await page.goto(`${home}/console${path}`);
  await page.type("[name=username]", username);
  await page.type("[name=password]", password);
  await Promise.all([page.waitForNavigation(), page.click(".login-submit")]);
  await page.waitForSelector("main h1");
  await quiet();
}

/** The key that the open form makes, once somebody has logged in again in the window that opens. */
async function proven(title) {
  const opens = new Promise((done) => browser.once("targetcreated", done));
  await fill("Scopes", "idv");
  await page.locator("dialog[open] button[type=submit]").click();
  await shows(title);
  await button("Log in again");
  const window = await (await opens).page();
  await window.waitForSelector("[name=password]");
  // Whom the provider knows, it has filled in.
  if (!(await window.$eval("[name=username]", (field) => field.value))) await window.type("[name=username]", username);
  await window.type("[name=password]", password);
  await window.click(".login-submit");
  return (await page.waitForSelector(".notice.good code")).evaluate((code) => code.textContent.length > 20);
}

const tasks = {
  ...adminTasks({ page, needs, told, enter, open, look, button, by, fill, select, control, shows, quiet }),

  async pages() {
    const start = Date.now();
    await enter();
    told.entered = Date.now() - start;
    for (const [name, path] of Object.entries(needs.pages)) {
      await open(path);
      await look(page, name);
    }
  },

  /** Somebody finds an entry and has this browser prove it. */
  async log() {
    await enter("/log");
    await select("Filter by", "kind");
    await fill("Kind", needs.kind);
    await page.keyboard.press("Enter");
    await page.waitForFunction((kind) => [...document.querySelectorAll("tbody code")].every((code) => code.textContent.startsWith(kind)) && document.querySelector("tbody code") !== null, { polling: 50 }, needs.kind);
    told.url = page.url();
    told.kinds = await page.$$eval("tbody code", (all) => all.map((code) => code.textContent));
    await page.locator("tbody button.open").click();
    await shows("This browser checked it");
    await look(page, "entry");
    told.key = await page.$eval("dl.facts", (facts) => /\S+\+[0-9a-f]{8}\+\S+/.exec(facts.innerText)?.[0]);
    // Where somebody on the way changes what is stored, it shows.
    await page.setRequestInterception(true);
    let forges = true;
    page.on("request", async (request) => {
      if (!/\/api\/admin\/v1\/events\/\d+$/.test(request.url())) return request.continue();
      const entry = JSON.parse(answers.find((one) => /\/events\/\d+$/.test(one.url)).text);
      if (forges) {
        // The proof is good, and what stands beside it is not what was proven.
        const event = { ...entry.event, metadata: { ...entry.event.metadata, event_code: "forged" } };
        return request.respond({ status: 200, contentType: "application/json", body: JSON.stringify({ ...entry, event }) });
      }
      const body = JSON.stringify({ ...entry, stored: entry.stored.replace("portcullis", "p0rtcullis").replace(/"time":(\d+)/, (_, time) => `"time":${Number(time) + 1}`) });
      return request.respond({ status: 200, contentType: "application/json", body });
    });
    await page.reload();
    await shows("This browser checked it");
    told.forged = await page.$eval("section[aria-label^=Entry]", (section) => section.innerText.split("With personal fields")[0].includes("forged"));
    forges = false;
    await page.reload();
    await shows("The proof does not hold");
    await look(page, "entry-changed");
    // The address says it all: a search is kept, and found again.
    await button("Keep this search");
    await fill("Name of the search", "Logins");
    await page.keyboard.press("Enter");
    await button(`Kind: ${needs.kind} remove`);
    await page.waitForFunction(() => !new URLSearchParams(location.search).has("kind"));
    await page.locator("summary").click();
    await page.locator("::-p-text(Logins)").click();
    await page.waitForFunction((kind) => new URLSearchParams(location.search).get("kind") === kind, {}, needs.kind);
  },

  /** A client is added, shows its secret once, and is switched off and on. */
  async client() {
    await enter("/clients");
    await button("Add a client");
    await look(page, "client-form");
    await fill("Name", needs.name);
    await page.locator("dialog[open] textarea").fill("http://127.0.0.1.example.org/");
    await button("Register");
    await page.waitForSelector("dialog[open] [role=alert]");
    told.refused = await page.$eval("dialog[open] [role=alert]", (alert) => alert.textContent);
    await page.locator("dialog[open] textarea").fill("https://app.example.org/callback");
    await button("Register");
    await page.waitForSelector(".notice.good code");
    told.secret = await page.$eval(".notice.good code", (code) => code.textContent);
    await look(page, "client-secret");
    await page.reload();
    await quiet();
    told.gone = !(await page.content()).includes(told.secret);
    const row = await page.waitForSelector(`::-p-xpath(//tr[td[contains(., "${needs.name}")]]//a)`);
    told.id = (await row.evaluate((link) => link.textContent)).trim();
    await row.click();
    await button("Disable");
    await shows("refused at once");
    await page.locator("dialog[open] button[type=submit]").click();
    await by("button", "Enable").wait();
    await look(page, "client");
  },

  /** An account is looked at, disabled, and enabled again; oneself cannot be. */
  async person() {
    await enter("/people");
    await fill("User name or e-mail address, from its beginning", needs.name);
    await page.keyboard.press("Enter");
    await page.waitForFunction((name) => [...document.querySelectorAll("tbody a")].map((a) => a.textContent).join() === name, { polling: 50 }, needs.name);
    await page.locator("tbody a").click();
    await button("Disable");
    await page.locator("dialog[open] button[type=submit]").click();
    await by("button", "Enable").wait();
    await look(page, "person");
    told.history = await page.$$eval("section tbody code", (all) => all.map((code) => code.textContent));
    await button("Enable");
    await page.locator("dialog[open] button[type=submit]").click();
    await by("button", "Disable").wait();
    await open(`/people/${needs.self}`);
    told.self = await page.$$eval("main button", (all) => all.map((one) => one.textContent));
  },

  /** A group is made, gets a member, loses it, and goes; somebody is invited, and is not after all. */
  async groups() {
    await enter("/groups");
    await button("Make a group");
    await fill("Name", "reviewers");
    await fill("Roles", "admin");
    await button("Make it");
    told.refused = await (await page.waitForSelector("dialog[open] [role=alert]")).evaluate((alert) => alert.textContent);
    await (await control("Roles")).asElement().evaluate((field) => field.select());
    await fill("Roles", "compliance");
    await button("Make it");
    await page.waitForFunction(() => /\/groups\/./.test(location.pathname));
    await shows("It has no members.");
    told.id = new URL(page.url()).pathname.split("/").at(-1);
    for (const name of ["nobody-of-that-name", needs.name]) {
      await button("Add a member");
      await (await control("User name")).asElement().evaluate((field) => field.select());
      await fill("User name", name);
      await button("Add");
      await shows(name === needs.name ? "Take out" : "Nobody is called nobody-of-that-name.");
    }
    await look(page, "group");
    await button(`Take out ${needs.name}`);
    await page.locator("dialog[open] button[type=submit]").click();
    await shows("It has no members.");
    await button("Remove");
    await page.locator("dialog[open] button[type=submit]").click();
    await page.waitForFunction(() => location.pathname.endsWith("/groups"));
    await shows("There are no groups.");
    await open("/invitations");
    await button("Invite somebody");
    await fill("E-mail", "new@example.org");
    await page.locator("dialog[open] button[type=submit]").click();
    await button("Withdraw the invitation of new@example.org");
    await page.locator("dialog[open] button[type=submit]").click();
    await shows("Nobody is invited.");
  },

  /** A workflow is drawn with mouse, forms and keyboard, tried, and published. */
  async workflow() {
    await enter("/workflows");
    await button("New workflow");
    await fill("Name", needs.name);
    await button("Begin");
    await page.waitForSelector(".svelte-flow__node");
    await select("Add a step", "check mrz");
    await page.waitForSelector('.svelte-flow__node[data-id="mrz"]');
    await button("Begin here");
    await shows("to mend");
    told.unreachable = await text();
    // A line from one node to the other, with the mouse.
    await page.locator(".svelte-flow__controls-fitview").click();
    await new Promise((done) => setTimeout(done, 400));
    const middle = async (selector) => { const box = await (await page.waitForSelector(selector)).boundingBox(); return [box.x + box.width / 2, box.y + box.height / 2]; };
    const [from, to] = [await middle('[data-id="mrz"] .svelte-flow__handle.source'), await middle('[data-id="end"] .svelte-flow__handle.target')];
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(...to, { steps: 12 });
    await page.mouse.up();
    await page.waitForSelector(".svelte-flow__edge");
    await shows("nothing to mend");
    // Undone and done again with keys.
    await page.locator("main h1").click();
    await page.keyboard.down("Control");
    await page.keyboard.press("z");
    await page.waitForFunction(() => !document.querySelector(".svelte-flow__edge"));
    await page.keyboard.press("y");
    await page.keyboard.up("Control");
    await page.waitForSelector(".svelte-flow__edge");
    // The rest without a mouse: a branch with a condition, in the list.
    await by("tab", "List").click();
    await select("Add a step", "branch");
    await select("Add a step", "review");
    for (const [node, name] of [["branch", "sort"], ["review", "human"]]) {
      await page.locator(`::-p-xpath(//td//button[code[text()="${node}"]])`).click();
      await page.locator('section[aria-label^="Node"] input').fill(name);
      await page.keyboard.press("Tab");
      await page.waitForSelector(`section[aria-label="Node ${name}"]`);
    }
    await page.locator('::-p-xpath(//td//button[code[text()="mrz"]])').click();
    await select("next", "sort");
    await page.locator('::-p-xpath(//td//button[code[text()="sort"]])').click();
    await button("Add a case");
    await page.waitForFunction(() => [...document.querySelectorAll("select")].some((one) => [...one.options].some((option) => option.value === "mrz.status")));
    await select("Field", "mrz.status");
    await select("Comparison", "not_equals");
    await page.waitForFunction(() => [...document.querySelectorAll("select")].some((one) => one.id.includes("-v0")));
    await select("Value", "passed");
    await select("case_1", "human");
    await select("else", "end");
    await shows("nothing to mend");
    await look(page, "workflow-list");
    // Nobody loses what they have drawn by a click.
    let asked = 0;
    page.on("dialog", (dialog) => { asked++; return dialog.dismiss(); });
    await page.locator("nav a[href$='/cases']").click();
    await page.keyboard.down("Alt");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.up("Alt");
    await page.waitForFunction(() => location.pathname.includes("/workflows/"));
    assert.ok(asked >= 1 && (await text()).includes("not saved"));
    await by("tab", "Drawing").click();
    await button("Arrange anew");
    await look(page, "workflow-drawing");
    await page.keyboard.down("Control");
    await page.keyboard.press("s");
    await page.keyboard.up("Control");
    await page.waitForFunction(() => !document.body.innerText.includes("not saved"));
    // Played, step by step.
    await by("tab", "Simulate").click();
    await select("mrz", "failed");
    await select("People say", "declined");
    await button("Play");
    await shows("It ends as");
    told.walked = await page.$$eval("ol li code", (all) => all.map((code) => code.textContent));
    await button("Step back");
    await look(page, "workflow-simulated");
    await button("Publish");
    await fill("What is new", "First one");
    await page.locator("dialog[open] button[type=submit]").click();
    await shows("version 1 in force");
    await by("tab", "Versions").click();
    await shows("First one");
    await button("Compare version 1 with the draft");
    await shows("Nothing is different");
    await button("Try it");
    await shows("sessions come to the same");
    await look(page, "workflow-versions");
    await by("tab", "JSON").click();
    told.graph = JSON.parse(await page.$eval("main textarea", (area) => area.value));
    told.id = new URL(page.url()).pathname.split("/").at(-1);
  },

  /** Why is somebody refused? */
  async gateway() {
    await enter("/gateway");
    told.routes = await page.$$eval("article h3", (all) => all.map((heading) => heading.textContent.trim()));
    await fill("The request, as HTTP or as a command of curl", "hello");
    await button("Explain");
    await shows("METHOD /path");
    await fill("The request, as HTTP or as a command of curl", needs.curl);
    await fill("Where it comes from", "192.0.2.7");
    await button("Explain");
    await page.waitForSelector(".stages li");
    told.stages = await page.$$eval(".stages li", (all) => all.map((one) => one.textContent));
    await look(page, "gateway-explained");
  },

  /** What is taken out of a drawing is what was chosen, and nothing of what was written is lost. */
  async drawing() {
    await enter(`/workflows/${needs.id}`);
    await page.waitForSelector(".svelte-flow__node");
    await quiet();
    const parallel = async () => { await by("tab", "JSON").click(); const graph = JSON.parse(await page.$eval("main textarea", (area) => area.value)); await by("tab", "Drawing").click(); await page.waitForSelector(".svelte-flow__node"); return graph.nodes.both.branches; };
    const node = (name) => page.waitForSelector(`.svelte-flow__node[data-id="${name}"]`);
    const steps = () => page.$$eval(".svelte-flow__node", (all) => all.map((one) => one.dataset.id).sort().join());
    // A key somewhere else takes nothing away.
    await (await node("c")).click();
    const before = await steps();
    await page.focus("header .find");
    await page.keyboard.press("Backspace");
    assert.equal(await steps(), before);
    await (await node("a")).click();
    await page.keyboard.down("Control");
    await page.keyboard.down("Meta");
    await (await node("b")).click();
    await page.keyboard.up("Meta");
    await page.keyboard.up("Control");
    await page.waitForFunction(() => document.querySelectorAll(".svelte-flow__node.selected").length === 2);
    await page.keyboard.press("Delete");
    await page.waitForFunction(() => !document.querySelector('.svelte-flow__node[data-id="a"]'));
    told.branches = await parallel();
    // What is being typed is saved as well.
    await (await node("c")).click();
    await (await control("What people call it")).asElement().type("Third");
    await page.keyboard.down("Control");
    await page.keyboard.press("s");
    await page.keyboard.up("Control");
    await page.waitForFunction(() => !document.body.innerText.includes("not saved"));
    // A text that was not taken over is not left without a question.
    let asked = 0;
    page.on("dialog", (dialog) => { asked++; return dialog.dismiss(); });
    await by("tab", "JSON").click();
    await (await page.waitForSelector("main textarea")).type(" ");
    await page.locator("nav a[href$='/cases']").click();
    assert.ok(asked === 1 && page.url().includes("/workflows/"));
  },

  /** Cases are decided by keyboard, one after the other, by somebody who is here for that alone. */
  async cases() {
    await enter("/cases");
    told.sections = await page.$$eval("nav a", (all) => all.map((link) => link.childNodes[0].textContent));
    await look(page, "cases");
    await page.keyboard.press("j");
    await page.evaluate(() => document.querySelector("tbody a").focus());
    await page.keyboard.press("Enter");
    await by("button", "Take it").click();
    await by("button", "Give it back").wait();
    await fill("Write something down", needs.note);
    await button("Keep it");
    await page.waitForSelector(".note");
    await look(page, "case");
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("A");
    await page.waitForSelector("dialog[open]");
    await fill("Reason", "DOCUMENTS_FIT");
    const before = page.url();
    await page.keyboard.press("Enter");
    await page.waitForFunction((before) => location.href !== before, {}, before);
    await quiet();
    told.next = new URL(page.url()).pathname;
    for (const path of ["/people", "/log", "/clients"]) {
      await open(path);
      assert.match(await text(), /There is no such page/);
    }
  },

  /** Somebody without any right. */
  async nobody() {
    await enter("");
    told.text = await text();
    await look(page, "nobody");
  },

  /** What strangers have written everywhere is text, wherever it is shown. */
  async hostile() {
    await enter("");
    for (const path of needs.paths) {
      await open(path);
      told[path] = { shown: (await text()).includes(needs.mark), alive: await page.evaluate(() => window.pwned === undefined && !document.querySelector("main img[src='x'], main script, main svg[onload]")) };
    }
  },

  /** The session ends at the gate as well. */
  async leave() {
    await enter("");
    told.account = await page.$eval("header .who a", (link) => link.href);
    await Promise.all([page.waitForNavigation(), button("Log out")]);
    // Without a hint of whose login it is, the provider asks.
    await Promise.all([page.waitForNavigation(), page.click("main button[type=submit]")]);
    told.after = new URL(page.url()).pathname;
    const cookies = await browser.cookies();
    told.kept = cookies.map((cookie) => cookie.name).filter((name) => name.includes("console"));
    await page.goto(`${home}/console`);
    told.login = new URL(page.url()).pathname;
  },

  /** A finding is read as a story, and its address answered after a look at whom that hits. */
  async attack() {
    await enter(`/attacks/${needs.id}`);
    await page.waitForSelector('section[aria-label="What happened"] svg path');
    told.story = await page.$eval('section[aria-label="What happened"] p', (p) => p.textContent);
    told.pairs = await page.$$eval('section[aria-label="What happened"] .rows tbody tr', (all) => all.length);
    told.drawn = await page.$$eval('section[aria-label="What happened"] .graph svg path', (all) => all.length);
    await look(page, "attack");
    await open("/attacks?range=7d");
    await button("Block an address");
    await fill("Address or network", "127.0.0.0/16");
    await shows("You come from there yourself.");
    await look(page, "attack-block");
    await fill("Address or network", needs.addr);
    told.empty = await (await page.waitForSelector("dialog[open] .notice.good")).evaluate((one) => one.innerText);
    await fill("Why", "a try");
    await page.locator("dialog[open] button[type=submit]").click();
    told.blocked = await (await page.waitForSelector("main [role=status].notice.good")).evaluate((one) => one.innerText);
    await button("Undo");
    await page.waitForFunction(() => !document.querySelector("main [role=status].notice.good"));
    await page.locator("main input[type=checkbox]").click();
    await page.waitForFunction(() => new URLSearchParams(location.search).get("answer") === "observed");
    await shows("Nobody has attacked.");
  },

  /** What is going on, now and in a time that goes along from view to view. */
  async now() {
    await enter("/?range=7d");
    await page.waitForSelector("section[aria-label=Now] .badge.good");
    told.live = await page.$eval("section[aria-label=Now] .badge", (badge) => badge.textContent);
    await page.waitForSelector(".chart canvas");
    told.charts = await page.$$eval(".chart h2", (all) => all.map((one) => one.textContent));
    told.links = Object.fromEntries(await page.$$eval("nav a", (all) => all.map((link) => [link.childNodes[0].textContent, link.href])));
    await look(page, "overview-week");
    await page.locator(".chart button").click();
    told.rows = await page.$$eval(".chart .rows tbody tr", (all) => all.length);
    await look(page, "overview-table");
    await page.locator(".chart button").click();
    const box = await (await page.waitForSelector(".chart .u-over")).boundingBox();
    await page.mouse.move(box.x + 40, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + 160, box.y + 45, { steps: 8 });
    await page.mouse.up();
    await page.waitForFunction(() => location.search.includes("until="));
    told.zoomed = page.url();
  },

  /** Something that needs a fresh login: it is asked for in a window, and done then. */
  async confirm() {
    await enter("/api-keys");
    await page.waitForFunction(async () => (await fetch("/api/admin/v1/clients/none/rotate-secret", { method: "POST" })).status === 401, { polling: 200 });
    await button("Make a key");
    await fill("Name", "written before");
    told.made = await proven("Is it you?");
    await page.waitForSelector("::-p-xpath(//tbody//td[.='written before'])");
  },

  /** Somebody else logs in in the window: nothing of the first one's page is done in their name. */
  async other() {
    await enter("/api-keys");
    await page.waitForFunction(async () => (await fetch("/api/admin/v1/clients/none/rotate-secret", { method: "POST" })).status === 401, { polling: 200 });
    await button("Make a key");
    await fill("Name", "of the first");
    await fill("Scopes", "idv");
    const opens = new Promise((done) => browser.once("targetcreated", done));
    await page.locator("dialog[open] button[type=submit]").click();
    await shows("Is it you?");
    await button("Log in again");
    const window = await (await opens).page();
    const field = await window.waitForSelector("[name=username]");
    await field.evaluate((one) => (one.value = ""));
    await window.type("[name=username]", needs.username);
    await window.type("[name=password]", needs.password);
    await window.click(".login-submit");
    await shows("Somebody else is logged in now");
    told.posts = answers.filter((one) => one.url.endsWith("/api-keys") && one.status === 201).length;
    await Promise.all([page.waitForNavigation(), button("Begin anew")]);
  },

  /** Evidence of a control, as a file with proofs. */
  async compliance() {
    await enter("/compliance?framework=iso27001");
    told.marks = await page.$$eval(".controls h3 .badge", (all) => all.map((badge) => badge.textContent));
    const made = page.evaluate(() => new Promise((done) => {
      const make = URL.createObjectURL;
      URL.createObjectURL = (blob) => { void blob.text().then(done); return make.call(URL, blob); };
    }));
    await button("Export evidence of logging.record");
    told.evidence = JSON.parse(await made);
  },

  /** The session ends while somebody fills in a form. */
  async ended() {
    await enter("/api-keys");
    await button("Make a key");
    await fill("Name", "written before");
    const all = await browser.cookies();
    await browser.deleteCookie(...all.filter((one) => /console|session/.test(one.name)));
    told.asked = "You are logged out";
    told.made = await proven("You are logged out");
  },

  /** Every page in another language says nothing in English that has a translation. */
  async languages() {
    await enter("");
    for (const language of ["de", "es", "fr"]) {
      await page.locator("#language").wait();
      await (await page.$("#language")).select(language);
      await page.waitForFunction((language) => document.documentElement.lang === language, {}, language);
      told[language] = await page.$$eval("nav a", (all) => all.map((link) => link.childNodes[0].textContent));
      await look(page, `overview-${language}`);
    }
    await page.reload();
    await quiet();
    told.kept = await page.evaluate(() => document.documentElement.lang);
  },
};

try {
  await tasks[task]();
  console.log(JSON.stringify({ told, seen, complaints, answers: needs.answers ? answers : undefined }));
} catch (error) {
  await page.screenshot({ path: `${pictures}/failed.png`, fullPage: true }).catch(() => {});
  console.error(String(error.stack), "\n", page.url(), "\n", (await text().catch(() => "")).slice(0, 3000), "\n", complaints.join("\n"));
  process.exitCode = 1;
} finally {
  await browser.close();
}
