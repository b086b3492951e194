// New findings, told wherever somebody is in the console.
import { got, polls } from "./api";
import { live } from "./live.svelte";
import { go, href } from "./router.svelte";
import { newer, type Finding } from "./news";
import { t } from "./texts.svelte";

const LEAST = "portcullis-notices";
const DESKTOP = "portcullis-notices-desktop";
/** So many are shown at once; the list has the rest. */
const SHOWN = 3;
const USUAL = 4;
/** Milliseconds. */
const REST = 30_000;

class Notices {
  #least = $state(kept());
  wanted = $state(localStorage.getItem(DESKTOP) === "yes");
  shown = $state.raw<Finding[]>([]);
  /** The newest that is known: what came before it is no news. */
  #newest: string | undefined;
  #asks = false;
  /** After a failure nothing is asked until then. */
  #rests = 0;

  /** From which severity on; 0 for none. */
  get least(): number {
    return this.#least;
  }
  set least(least: number) {
    this.#least = least;
    // What came while nobody listened is no news.
    this.#newest = undefined;
    localStorage.setItem(LEAST, String(least));
  }

  get possible(): boolean {
    return "Notification" in window;
  }

  /** Asks the browser, and says why not. */
  async desktop(wanted: boolean): Promise<string> {
    const allowed = wanted && (await Notification.requestPermission()) === "granted";
    this.wanted = allowed;
    localStorage.setItem(DESKTOP, allowed ? "yes" : "no");
    return wanted && !allowed ? "The browser does not allow it: look at its settings for this page." : "";
  }

  /** The stream tells of a finding, or that there is none. */
  async hear(id: string | undefined) {
    const before = this.#newest;
    // What there is when somebody comes is on the overview.
    if (before === undefined || !id || !this.least) {
      this.#newest = id ?? "";
      return;
    }
    // The stream says it again every two seconds.
    if (id === before || this.#asks) return;
    if (Date.now() < this.#rests) return;
    const { least } = this;
    this.#asks = true;
    try {
      const { items } = await got(polls.GET("/api/admin/v1/alerts", { params: { query: { limit: 20 } } }));
      // Somebody chose otherwise meanwhile.
      if (this.#newest !== before || this.least !== least) return;
      this.#newest = items[0]?.id ?? id;
      for (const one of newer(items, before, least).reverse()) this.show(one);
    } catch {
      // What is not known is asked for again, and not with every message.
      this.#rests = Date.now() + REST;
    } finally {
      this.#asks = false;
    }
  }

  show(finding: Finding) {
    this.shown = [finding, ...this.shown.filter((one) => one.id !== finding.id)].slice(0, SHOWN);
    if (!this.wanted || !this.possible || Notification.permission !== "granted" || document.visibilityState === "visible") return;
    const told = new Notification("Portcullis", { body: finding.title, tag: finding.id || "portcullis" });
    told.onclick = () => {
      focus();
      if (finding.id) go(href(`/attacks/${finding.id}`));
    };
  }

  close(id: string) {
    this.shown = this.shown.filter((one) => one.id !== id);
  }

  /** In words, for whoever does not see it. */
  label(finding: Finding): string {
    return t("Close: {title}", { title: finding.title });
  }

  /** Listens until what it returns is called. */
  listen(): () => void {
    return live.look();
  }
}

function kept(): number {
  const text = localStorage.getItem(LEAST);
  const least = text === null ? USUAL : Number(text);
  return [0, 2, 3, 4, 5].includes(least) ? least : USUAL;
}

export const notices = new Notices();
