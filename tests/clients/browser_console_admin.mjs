// Tasks of whoever runs the place; `browser_console.mjs` has the others, and what they work with.
export const adminTasks = ({ page, needs, told, enter, open, look, button, by, fill, select, control, shows, quiet }) => {
  const submit = () => page.locator("dialog[open] button[type=submit]").click();
  const read = (selector) => page.$eval(selector, (one) => one.innerText);
  return {
    /** Who uses a limit up? */
    async limits() {
      await enter("/gateway");
      const row = await page.waitForSelector(`::-p-xpath(//table[caption[contains(., "tight")]]//tr[td[contains(., "${needs.account}")]])`);
      told.consumer = await row.evaluate((one) => one.innerText);
      const stage = await page.waitForSelector('::-p-xpath(//article[h3[contains(., "tight")]]//li[contains(., "limits")]//span[@class="badge bad"])');
      told.refused = await stage.evaluate((one) => one.textContent);
      await look(page, "limits");
      await row.$eval("a", (link) => link.click());
      await page.waitForFunction((id) => location.pathname.endsWith(id), {}, needs.account);
    },

    /** Could the contract be enforced? */
    async learned() {
      await enter("/gateway");
      const section = await page.waitForSelector('section[aria-label="Contracts that are learned"] tbody');
      told.rows = await section.$$eval("tr", (all) => all.map((row) => [...row.querySelectorAll("td")].slice(0, 3).map((cell) => cell.innerText.trim())));
      await look(page, "learned");
    },

    /** Two pictures of a case, side by side and larger. */
    async compare() {
      await enter(`/cases/${needs.id}`);
      await by("button", "Show: me").wait();
      told.masked = (await page.$$("section[aria-label=Pictures] img")).length;
      await button("Show: document");
      await button("Show: me");
      await page.waitForFunction(() => document.querySelectorAll("section[aria-label=Pictures] li img").length === 2);
      await button("Compare");
      const panes = () => page.$$eval("dialog[open] .pane", (all) => all.map((pane) => [pane.getAttribute("aria-label"), pane.querySelector("img").getBoundingClientRect().width, pane.scrollTop]));
      await page.waitForSelector("dialog[open] .pane img");
      const before = await panes();
      await (await control("Size")).asElement().evaluate((range) => {
        range.value = "3";
        range.dispatchEvent(new Event("input", { bubbles: true }));
      });
      await page.waitForFunction((width) => document.querySelector("dialog[open] .pane img").getBoundingClientRect().width > width * 2.5, {}, before[0][1]);
      await page.$eval("dialog[open] .pane", (pane) => pane.scrollTo(0, 60));
      await page.waitForFunction(() => [...document.querySelectorAll("dialog[open] .pane")].every((pane) => pane.scrollTop === 60));
      told.compared = (await panes()).map(([name]) => name);
      await look(page, "compared");
    },

    /** What is wrong with it, and where? */
    async check() {
      await enter("/gateway");
      await (await control("portcullis.toml, all of it")).asElement().evaluate((area, text) => {
        area.value = text;
        area.dispatchEvent(new Event("input", { bubbles: true }));
      }, needs.text);
      await button("Check");
      await page.waitForSelector(".wrong li");
      told.count = (await page.$$(".wrong li")).length;
      await look(page, "checked");
      await page.locator(`::-p-xpath(//button[starts-with(., "Line ${needs.line},")])`).click();
      told.selected = await page.evaluate(() => {
        const area = document.activeElement;
        return area.value.slice(area.selectionStart, area.selectionEnd);
      });
    },

    /** A workload is let in. */
    async certificate() {
      await enter("/certificates");
      await button("Let a workload in");
      await (await control("Workload")).asElement().evaluate((field) => field.select());
      await fill("Workload", needs.workload);
      await submit();
      told.token = await (await page.waitForSelector(".notice.good code")).evaluate((code) => code.textContent);
      await look(page, "enrolment");
      await page.reload();
      await quiet();
      told.gone = !(await page.content()).includes(told.token);
    },

    /** And its certificate is taken back. */
    async revoke() {
      await enter(`/certificates?workload=${encodeURIComponent(needs.workload)}`);
      await button(`Take back ${needs.serial}`);
      await (await control("The key was in other hands")).asElement().click();
      await submit();
      await shows("Taken back: 1");
      told.state = await read("section[aria-label=Workloads] tbody");
      await look(page, "revoked");
    },

    /** Somebody asks what is kept about them, and it takes longer. */
    async request() {
      await enter(`/people/${needs.account}`);
      await page.locator("::-p-text(Write down a request)").click();
      await (await control("Note")).asElement().type("asked by letter");
      await look(page, "request-form");
      await submit();
      await page.waitForFunction(() => /\/requests\/dsr_/.test(location.pathname));
      told.id = new URL(page.url()).pathname.split("/").at(-1);
      await button("Prolong");
      await (await control("Why it takes longer")).asElement().type("many letters");
      await submit();
      await shows("Prolonged because");
      told.state = await read("main dl");
      const answer = page.waitForResponse((one) => one.url().endsWith("/export"));
      await button("Export what is kept about them");
      told.export = await (await answer).json();
      await look(page, "request-open");
      await by("button", "Close").click();
      await submit();
      await by("button", "Open again").click();
      await submit();
      await by("button", "Close").click();
      await submit();
      await by("button", "Open again").wait();
      await open("/requests?state=closed");
      await shows("access");
    },

    /** By a few letters, without a mouse; or by its address. */
    async actions() {
      await enter("");
      const chord = async () => {
        await page.keyboard.down("Control");
        await page.keyboard.press("k");
        await page.keyboard.up("Control");
      };
      await chord();
      await page.waitForSelector("dialog[open] [role=combobox]");
      await page.keyboard.type("add a cl");
      await page.keyboard.press("Enter");
      await control("Kind");
      const address = () => page.evaluate(() => location.pathname + location.search);
      told.opened = await address();
      await page.keyboard.press("Escape");
      await page.waitForFunction(() => !document.querySelector("dialog[open]"));
      told.closed = await address();
      await open("/attacks?do=block");
      told.straight = await (await page.waitForSelector("dialog[open] h2")).evaluate((one) => one.textContent);
    },

    async exporter() {
      await enter("/settings");
      await button("Send a test to siem");
      told.said = await (await page.waitForSelector("section[aria-label=Exporters] .notice")).evaluate((one) => one.textContent);
      await look(page, "exporter");
    },

    /** A client is called something else and loses a scope. */
    async change() {
      await enter(`/clients/${needs.id}`);
      await button("Change");
      await (await control("Name")).asElement().evaluate((field) => field.select());
      await fill("Name", needs.name);
      const scopes = (await control("scopes")).asElement();
      await scopes.evaluate((area) => area.select());
      await scopes.type("aml");
      told.warning = await (await page.waitForSelector("dialog[open] .notice.warn")).evaluate((one) => one.textContent);
      await look(page, "client-change");
      // Somebody else is faster.
      told.other = await page.evaluate(async (id) => {
        const address = `/api/admin/v1/clients/${id}`;
        const { disabled: _, created_at: __, ...rest } = await (await fetch(address)).json();
        const answer = await fetch(address, { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ ...rest, default_max_age: 77, dpop_bound_access_tokens: true }) });
        return answer.status;
      }, needs.id);
      await submit();
      await shows("Somebody else changed it meanwhile");
      await submit();
      await page.waitForFunction((name) => document.querySelector("main h1").textContent === name, {}, needs.name);
    },

    /** News come to whoever is elsewhere. */
    async notice() {
      await enter("/people");
      const notice = await page.waitForSelector(".notices a", { timeout: 60_000 });
      told.title = await notice.evaluate((one) => one.textContent);
      await look(page, "notice");
      await notice.click();
      await page.waitForFunction(() => location.pathname.includes("/attacks/"));
      told.path = await page.evaluate(() => location.pathname);
    },

    /** Down a long list to its end and up again. */
    async long() {
      await enter("/log?range=all");
      const count = () => page.$eval("main table", (table) => Math.max(...[...table.querySelectorAll("tr[aria-rowindex]")].map((row) => Number(row.getAttribute("aria-rowindex"))), 0));
      const first = await read("main tbody tr");
      for (let turn = 0; turn < 60 && (await count()) < 360; turn++) {
        await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
        await quiet();
        await new Promise((done) => setTimeout(done, 50));
      }
      told.loaded = await count();
      told.drawn = (await page.$$("main tr[aria-rowindex]")).length;
      await page.evaluate(() => scrollTo(0, 0));
      await page.waitForSelector('main tr[aria-rowindex="2"]');
      told.top = true;
      told.same = (await read("main tbody tr")).split("\t").at(-1) === first.split("\t").at(-1);
    },
  };
};
