// Whoever has to log in again does so in a window of its own: what they were doing waits, and goes on.

/** Logs in; where somebody is still logged in at the provider, without a question. */
const LOG_IN = "/.portcullis/console/again?login";
/** Asks for proof in any case. */
const CONFIRM = "/.portcullis/console/again";
/** Where the window ends up, and what it says to the others. */
export const CONFIRMED = "/console/confirmed";
const CHANNEL = "portcullis-session";
const ME = "/api/account/v1/me";

export type Why = "login" | "confirm";

class Again {
  /** What is asked for, if anything. */
  why = $state<Why | undefined>();
  /** Somebody else has logged in in this browser: nothing here is theirs. */
  other = $state(false);
  /** Who is here. */
  #who = "";
  /** Whether the window was opened from here: what others confirm is not meant for this page. */
  #opened = false;
  #waiting: ((go: boolean) => void)[] = [];

  /** From now on, whoever else logs in is noticed. */
  begin(who: string) {
    if (!this.#who) new BroadcastChannel(CHANNEL).onmessage = () => void this.look(true);
    this.#who = who;
    // Pages of whoever was here before learn of it.
    confirmed();
  }

  /** Whom every request is for; the server does nothing of it for anybody else. */
  get who(): string {
    return this.#who;
  }

  /** The server says that it is somebody else. */
  stranger() {
    this.other = true;
    this.end(false);
  }

  /** Asks; whether it is worth trying again. */
  ask(why: Why): Promise<boolean> {
    if (this.other || !this.#who) return Promise.resolve(false);
    // Whoever proves who they are is logged in as well.
    if (this.why !== "confirm") this.why = why;
    return new Promise((done) => this.#waiting.push(done));
  }

  open() {
    this.#opened = true;
    window.open(this.why === "login" ? LOG_IN : CONFIRM, "portcullis-login", "popup,width=520,height=760");
  }

  end(go: boolean) {
    this.why = undefined;
    this.#opened = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    waiting.forEach((done) => done(go));
  }

  /** Whether it is still the same person. Where somebody has logged in, what waits goes on; nothing does unless that is
   *  known. */
  async look(entered = false) {
    if (!this.#who) return;
    const answer = await fetch(ME, { headers: { accept: "application/json" } }).catch(() => undefined);
    const who = answer?.ok ? ((await answer.json().catch(() => ({}))) as { id?: string }).id : undefined;
    if (who !== undefined && who !== this.#who) {
      this.stranger();
    } else if (who !== undefined && entered && this.#opened) this.end(true);
  }
}

export const again = new Again();

/** The window is back: says so. */
export function confirmed() {
  new BroadcastChannel(CHANNEL).postMessage("logged in");
}
