// What is going on now, as the server tells it (server-sent events). One connection, however many look.
import { again } from "./again.svelte";

export interface Now {
  value: number | null;
  usual: number | null;
  unit: string;
}

class Live {
  series = $state.raw<Record<string, Now>>({});
  /** The newest finding. */
  alert = $state<string | undefined>();
  /** Whether the numbers are those of now. */
  connected = $state(false);
  /** Goes up with each message. */
  told = $state(0);
  #source: EventSource | undefined;
  #lookers = 0;

  /** Listens until what it returns is called. */
  look(): () => void {
    this.#lookers += 1;
    if (!this.#source) this.#open();
    return () => {
      this.#lookers -= 1;
      // Whoever only goes to another view keeps it.
      setTimeout(() => {
        if (!this.#lookers) this.#close();
      }, 1_000);
    };
  }

  /** Nothing is for whoever looks any more. */
  end() {
    this.#lookers = 0;
    this.#close();
  }

  #open() {
    const source = new EventSource(`/api/admin/v1/measures/live?${new URLSearchParams({ account: again.who })}`);
    this.#source = source;
    source.addEventListener("now", (event) => {
      const { series, newest_alert } = JSON.parse(event.data) as { series: ({ name: string } & Now)[]; newest_alert?: string };
      this.series = Object.fromEntries(series.map((one) => [one.name, one]));
      this.alert = newest_alert;
      this.connected = true;
      this.told += 1;
    });
    source.addEventListener("open", () => (this.connected = true));
    source.addEventListener("error", () => {
      this.connected = false;
      // A refusal ends it, and the browser would not ask again.
      if (source.readyState === EventSource.CLOSED && this.#source === source) {
        this.#source = undefined;
        // It may be that somebody else has logged in.
        void again.look();
        setTimeout(() => {
          if (this.#lookers && !this.#source) this.#open();
        }, 15_000);
      }
    });
  }

  #close() {
    this.#source?.close();
    this.#source = undefined;
    this.connected = false;
  }
}

export const live = new Live();
