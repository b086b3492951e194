// The time that charts and lists are about, as the address has it: `range=24h`, or `from=…&until=…`.
import { since } from "./time";

export const RANGES = { "15m": "15 minutes", "1h": "An hour", "6h": "6 hours", "24h": "A day", "7d": "7 days", "30d": "30 days" } as const;
const USUAL = "24h";
/** What stays when somebody goes from one view of a time to another. */
export const KEPT = ["range", "from", "until"] as const;

export interface Bounds {
  from?: Date;
  until?: Date;
}

/** What is chosen: a code of [`RANGES`], `all`, or `custom`. */
export function chosen(query: URLSearchParams): string {
  if (at(query, "from")) return "custom";
  const range = query.get("range");
  return range === "all" || (range && since(range, new Date())) ? range : USUAL;
}

/** From when, and until when if that is not now. */
export function bounds(query: URLSearchParams, now: Date): Bounds {
  const from = at(query, "from");
  const until = at(query, "until");
  if (from) return { from, ...(until && until > from ? { until } : {}) };
  const range = chosen(query);
  const begin = range === "all" ? undefined : since(range, now);
  return begin ? { from: begin } : {};
}

/** The same as parameters of the API. */
export function asked(query: URLSearchParams, now: Date): { from?: string; until?: string } {
  const { from, until } = bounds(query, now);
  return { ...(from ? { from: from.toISOString() } : {}), ...(until ? { until: until.toISOString() } : {}) };
}

/** The same where only so much is kept. */
export function limited(query: URLSearchParams, now: Date, days: number): { from?: string; until?: string } {
  const { from, until } = asked(query, now);
  const first = new Date(now.getTime() - days * 86_400_000).toISOString();
  return { from: from && from > first ? from : first, ...(until ? { until } : {}) };
}

export function kept(query: URLSearchParams): Record<string, string> {
  return Object.fromEntries(KEPT.flatMap((name) => (query.get(name) ? [[name, query.get(name)!]] : [])));
}

function at(query: URLSearchParams, name: string): Date | undefined {
  const text = query.get(name);
  const date = text ? new Date(text) : undefined;
  return date && !Number.isNaN(date.getTime()) ? date : undefined;
}

/** What a field of local date and time shows, and reads. */
export function local(date: Date): string {
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
