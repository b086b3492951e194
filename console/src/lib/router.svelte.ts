// Where somebody is, which is all in the address: it can be sent on, kept and gone back to.

const BASE = "/console";

/** Where one's own account is: the provider may have another name than the console. */
export const ACCOUNT = `${document.querySelector<HTMLMetaElement>("meta[name=issuer]")?.content ?? ""}/account`;

class Place {
  path = $state("/");
  query = $state(new URLSearchParams());
  /** Whether somebody may leave the page that is shown: it has something that is not saved. */
  guard: (() => boolean) | undefined;
  #shown = location.href;

  constructor() {
    this.read();
    addEventListener("popstate", () => {
      if (this.mayLeave(location.pathname)) this.read();
      else history.pushState(null, "", this.#shown);
    });
  }

  mayLeave(path: string): boolean {
    return !this.guard || path === BASE + this.path || this.guard();
  }

  read() {
    this.path = location.pathname.slice(BASE.length) || "/";
    this.query = new URLSearchParams(location.search);
    this.#shown = location.href;
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
  if (!place.mayLeave(new URL(to, location.href).pathname)) return;
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

/** An action with an address of its own: `?do=NAME` opens its form, and closing the form takes that away. */
export function doing(name: string): { open: boolean } {
  const { path } = place;
  return {
    get open() {
      return place.query.get("do") === name;
    },
    set open(open: boolean) {
      // Where somebody has gone on meanwhile, it is not there any more.
      if (open !== this.open && place.path === path) set({ do: open ? name : undefined });
    },
  };
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
