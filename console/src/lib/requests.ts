// Requests of data subjects (GDPR, articles 15 to 22).
export const KINDS = ["access", "rectification", "erasure", "restriction", "portability", "objection", "automated_decision"] as const;
export const OUTCOMES = ["fulfilled", "refused", "withdrawn"] as const;

const WEEK = 7 * 86_400_000;

/** How pressing a deadline is. */
export function DUE(at: string, now: Date): "bad" | "warn" | "good" {
  const left = new Date(at).getTime() - now.getTime();
  return left < 0 ? "bad" : left < WEEK ? "warn" : "good";
}
