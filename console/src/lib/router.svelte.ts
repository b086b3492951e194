// Where somebody is, which is all in the address: it can be sent on, kept and gone back to.

const BASE = "/console";

class Place {
  path = $state("/");
  query = $state(new URLSearchParams());

  constructor() {
    this.read();
    addEventListener("popstate", () => this.read());
  }

  read() {
    this.path = location.pathname.slice(BASE.length) || "/";
    this.query = new URLSearchParams(location.search);
  }
}

export const place = new Place();

/** The address of a view. */
export function href(path: string, query?: Record<string, string | undefined>): string {
  const given = Object.entries(query ?? {}).filter((one): one is [string, string] => !!one[1]);
  const search = new URLSearchParams(given).toString();
  return BASE + (path === "/" ? "" : path) + (search && `?${search}`);
}

export function go(to: string, replace = false) {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.read();
  if (!replace) {
    scrollTo(0, 0);
    // Whoever does not see the page hears that it is another one.
    requestAnimationFrame(() => document.querySelector<HTMLElement>("main h1")?.focus());
  }
}

/** Changes a part of the query and nothing else. */
export function set(changes: Record<string, string | undefined>) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const search = query.toString();
  go(location.pathname + (search && `?${search}`), true);
}

/** Follows links within the console without loading the page anew. */
export function follow(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element | null)?.closest("a");
  if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
  if (link.pathname !== BASE && !link.pathname.startsWith(`${BASE}/`)) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
