/** OCSF's severities, by number. */
export const SEVERITIES = [
  { name: "unknown", tone: "" },
  { name: "informational", tone: "" },
  { name: "low", tone: "" },
  { name: "medium", tone: "warn" },
  { name: "high", tone: "bad" },
  { name: "critical", tone: "bad" },
] as const;
