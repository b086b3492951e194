// What the logins around a finding tell: who tried whose account from where, and what came of it.
import { told } from "./events";

export interface Pair {
  from: string;
  who: string;
  whoId: string;
  failed: number;
  good: number;
}

export interface Story {
  pairs: Pair[];
  addresses: string[];
  accounts: string[];
  failed: number;
  good: number;
  /** Milliseconds since 1970 of the first and last attempt. */
  first: number;
  last: number;
  /** Attempts by minute. */
  at: number[];
  failures: number[];
  successes: number[];
}

const MINUTE = 60_000;
/** Before and after it, so that one moment is seen as one. */
const AROUND = 5;
/** More minutes make no timeline that somebody reads. */
const MOST_MINUTES = 240;

export function story(events: unknown[]): Story | undefined {
  const logins = events.map(told).filter((one) => one.code.startsWith("authn_login") && one.at !== undefined);
  const times = logins.map((one) => one.at!);
  const [first, last] = [Math.min(...times), Math.max(...times)];
  if (!logins.length) return undefined;
  const pairs = new Map<string, Pair>();
  for (const one of logins) {
    const key = JSON.stringify([one.from, one.who]);
    const pair = pairs.get(key) ?? { from: one.from, who: one.who, whoId: one.whoId, failed: 0, good: 0 };
    pair[one.success === true ? "good" : "failed"] += 1;
    pairs.set(key, pair);
  }
  const begin = Math.floor(first / MINUTE) - AROUND;
  const minutes = Math.min(Math.floor(last / MINUTE) + AROUND - begin + 1, MOST_MINUTES);
  const [failures, successes] = [new Array<number>(minutes).fill(0), new Array<number>(minutes).fill(0)];
  for (const one of logins) {
    const series = one.success === true ? successes : failures;
    const place = Math.floor(one.at! / MINUTE) - begin;
    if (place < minutes) series[place]! += 1;
  }
  const all = [...pairs.values()].sort((a, b) => b.failed + b.good - (a.failed + a.good));
  const sum = (of: "failed" | "good") => all.reduce((sum, pair) => sum + pair[of], 0);
  return {
    pairs: all,
    addresses: [...new Set(all.map((pair) => pair.from))],
    accounts: [...new Set(all.map((pair) => pair.who))],
    failed: sum("failed"),
    good: sum("good"),
    first,
    last,
    at: failures.map((_, place) => ((begin + place) * MINUTE) / 1_000),
    failures,
    successes,
  };
}
