/** What a session of verification can be. */
export const STATUSES = ["in_review", "created", "awaiting_input", "processing", "approved", "declined", "expired", "cancelled"] as const;

/** How good or bad a state or the status of a check is. */
export function tone(status: string): string {
  if (status === "approved" || status === "passed") return "good";
  if (status === "declined" || status === "failed" || status === "error") return "bad";
  if (status === "in_review" || status === "review") return "warn";
  return "";
}

/** What is known for sure comes first. */
export const GRADES = ["cryptographic", "database", "biometric", "heuristic", "self_asserted"] as const;

export const GRADE_TEXTS: Record<string, string> = {
  cryptographic: "Proven by signatures",
  database: "Confirmed by a register",
  biometric: "Compared by a model",
  heuristic: "Looked at by rules",
  self_asserted: "Said by the person",
  none: "Not done",
};
