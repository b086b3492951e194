// Numbers with their units, in the language of whoever reads.
const formats = new Map<string, Intl.NumberFormat>();

function format(language: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
  const key = language + JSON.stringify(options);
  const known = formats.get(key) ?? new Intl.NumberFormat(language, options);
  formats.set(key, known);
  return known;
}

/** A number as people read it: `1,204`, `12.3k`, `3.2 ms`, `0.4 %`. */
export function number(value: number | null | undefined, unit: string, language: string): string {
  if (value === null || value === undefined) return "—";
  if (unit === "ms") {
    const long = value >= 1_000;
    return `${format(language, { maximumSignificantDigits: 3 }).format(long ? value / 1_000 : value)} ${long ? "s" : "ms"}`;
  }
  if (unit === "%") return `${format(language, value < 1 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 1 }).format(value)} %`;
  if (value >= 100_000) return format(language, { notation: "compact", maximumSignificantDigits: 3 }).format(value);
  return format(language, { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

/** How far a value is from the usual: `more` and `less` only where it is far enough to look. */
export function against(value: number | null | undefined, usual: number | null | undefined): "more" | "less" | "as usual" | undefined {
  if (value === null || value === undefined || usual === null || usual === undefined) return undefined;
  // Small numbers jump: of a mean of two, six is nothing.
  const slack = Math.max(2 * Math.sqrt(usual), usual * 0.3, 3);
  if (value > usual + slack) return "more";
  return value < usual - slack ? "less" : "as usual";
}
