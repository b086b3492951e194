export interface Finding {
  id: string;
  title: string;
  severity: number;
}

/** Those of a list, newest first, that came after one that is known and are severe enough. */
export function newer<T extends Finding & { acknowledged_by?: string | null | undefined }>(items: T[], known: string, least: number): T[] {
  const at = items.findIndex((one) => one.id === known);
  return (at === -1 ? items : items.slice(0, at)).filter((one) => one.severity >= least && !one.acknowledged_by);
}
