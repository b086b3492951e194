// What an entry of the audit log says, in the words of OCSF.
export interface Told {
  code: string;
  at: number | undefined;
  who: string;
  /** Its id, for a filter. */
  whoId: string;
  from: string;
  what: string;
  request: string;
  success: boolean | undefined;
  severity: number;
}

/** Reads what a list shows. Events are what the log has, so nothing is taken for granted. */
export function told(event: unknown): Told {
  const at = (...path: string[]) => path.reduce<unknown>((value, name) => (isObject(value) ? value[name] : undefined), event);
  const text = (...path: string[]) => (typeof at(...path) === "string" ? (at(...path) as string) : "");
  const number = (...path: string[]) => (typeof at(...path) === "number" ? (at(...path) as number) : undefined);
  const user = text("user", "name") || text("user", "uid");
  const status = number("status_id");
  const operation = text("api", "operation");
  const entity = [text("entity", "type"), text("entity", "uid")].filter(Boolean).join(" ");
  return {
    code: text("metadata", "event_code"),
    at: number("time"),
    who: text("actor", "user", "name") || text("actor", "app_name") || text("actor", "user", "uid") || user,
    whoId: text("actor", "user", "uid") || text("user", "uid"),
    from: text("src_endpoint", "ip"),
    what: [operation || entity || user || text("finding_info", "title"), text("status_detail")].filter(Boolean).join(" · "),
    request: text("metadata", "correlation_uid"),
    success: status === 1 ? true : status === 2 ? false : undefined,
    severity: number("severity_id") ?? 0,
  };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
