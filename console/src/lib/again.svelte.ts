// Whoever has to log in again does so in a window of its own: what they were doing waits, and goes on.

/** Logs in; where somebody is still logged in at the provider, without a question. */
const LOG_IN = "/.portcullis/console/again?login";
/** Asks for proof in any case. */
const CONFIRM = "/.portcullis/console/again";
/** Where the window ends up, and what it says to the others. */
export const CONFIRMED = "/console/confirmed";
const CHANNEL = "portcullis-session";

export type Why = "login" | "confirm";

class Again {
  /** What is asked for, if anything. */
  why = $state<Why | undefined>();
  /** Who is here. */
  who = "";
  #waiting: ((go: boolean) => void)[] = [];
  #channel: BroadcastChannel | undefined;

  /** Asks; whether it is worth trying again. */
  ask(why: Why): Promise<boolean> {
    // Whoever proves who they are is logged in as well.
    if (this.why !== "confirm") this.why = why;
    this.#listen();
    return new Promise((done) => this.#waiting.push(done));
  }

  open() {
    window.open(this.why === "login" ? LOG_IN : CONFIRM, "portcullis-login", "popup,width=520,height=760");
  }

  end(go: boolean) {
    this.why = undefined;
    const waiting = this.#waiting;
    this.#waiting = [];
    waiting.forEach((done) => done(go));
  }

  #listen() {
    this.#channel ??= new BroadcastChannel(CHANNEL);
    this.#channel.onmessage = () => this.end(true);
  }
}

export const again = new Again();

/** The window is back: says so. */
export function confirmed() {
  new BroadcastChannel(CHANNEL).postMessage("logged in");
}
