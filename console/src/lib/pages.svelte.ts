// A list that comes page by page, each beginning after the last of the one before. Loading is no dependency of the
// effect that begins it: it would begin again with what it has just loaded.
import { untrack } from "svelte";
import { Refused } from "./api";

export interface Chunk<T> {
  items: T[];
  next?: string | null | undefined;
}

export class Pages<T> {
  items = $state.raw<T[]>([]);
  next = $state<string | undefined>();
  loading = $state(false);
  error = $state.raw<Refused | undefined>();
  /** How many came last. */
  came = 0;
  /** What was asked last; answers to older questions are not shown. */
  #asked = 0;

  constructor(private readonly load: (after: string | undefined) => Promise<Chunk<T>>) {}

  /** From the beginning. */
  begin(): Promise<void> {
    this.items = [];
    this.next = undefined;
    return this.more();
  }

  more(): Promise<void> {
    return untrack(() => this.#more());
  }

  async #more() {
    const asked = ++this.#asked;
    this.loading = true;
    this.error = undefined;
    try {
      const chunk = await this.load(this.next);
      if (asked !== this.#asked) return;
      this.items = [...this.items, ...chunk.items];
      this.next = chunk.next ?? undefined;
      this.came = chunk.items.length;
    } catch (error) {
      if (asked !== this.#asked) return;
      this.error = refused(error);
    } finally {
      if (asked === this.#asked) this.loading = false;
    }
  }
}

/** One thing that is loaded. */
export class One<T> {
  value = $state.raw<T | undefined>();
  loading = $state(false);
  error = $state.raw<Refused | undefined>();
  #asked = 0;

  /** What is on its way is not shown any more. */
  forget() {
    this.#asked += 1;
    this.value = this.error = undefined;
    this.loading = false;
  }

  load(ask: () => Promise<T>): Promise<void> {
    return untrack(() => this.#load(ask));
  }

  async #load(ask: () => Promise<T>) {
    const asked = ++this.#asked;
    this.loading = true;
    this.error = undefined;
    try {
      const value = await ask();
      if (asked === this.#asked) this.value = value;
    } catch (error) {
      if (asked === this.#asked) this.error = refused(error);
    } finally {
      if (asked === this.#asked) this.loading = false;
    }
  }
}

export function refused(error: unknown): Refused {
  if (error instanceof Refused) return error;
  return new Refused({ status: 0, title: String(error), detail: "", violations: [] });
}
