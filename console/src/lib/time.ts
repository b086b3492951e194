// Times with their zone, and how long ago that was, in the language of whoever reads.

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];
/** Seconds between two looks at the clock. */
export const STEP = 10;
const formats = new Map<string, [Intl.DateTimeFormat, Intl.RelativeTimeFormat]>();

function format(language: string): [Intl.DateTimeFormat, Intl.RelativeTimeFormat] {
  const known = formats.get(language);
  if (known) return known;
  const made: [Intl.DateTimeFormat, Intl.RelativeTimeFormat] = [
    new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "long" }),
    new Intl.RelativeTimeFormat(language, { numeric: "auto" }),
  ];
  formats.set(language, made);
  return made;
}

/** Date, time and zone. */
export function whole(at: Date, language: string): string {
  return format(language)[0].format(at);
}

/** Such as “5 minutes ago”. */
export function ago(at: Date, now: Date, language: string): string {
  const exact = Math.round((at.getTime() - now.getTime()) / 1_000);
  // The page's clock goes in steps: what has just happened is not to come.
  const seconds = exact > 0 && exact <= STEP ? 0 : exact;
  const [unit, length] = UNITS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  return format(language)[1].format(Math.round(seconds / length), unit);
}

/** The beginning of a span that ends now: `15m`, `24h`, `7d`; nothing for what is none. */
export function since(span: string, now: Date): Date | undefined {
  const [, count, unit] = /^(\d{1,4})([mhd])$/.exec(span) ?? [];
  const length = { m: 60, h: 3_600, d: 86_400 }[unit ?? ""];
  return count && length ? new Date(now.getTime() - Number(count) * length * 1_000) : undefined;
}

/** A length of time in its largest fitting unit, such as “15 min”. */
export function span(seconds: number, language: string): string {
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? ["second", 1];
  // What is left of a time must not look shorter than it is.
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(Math.ceil(seconds / length));
}
