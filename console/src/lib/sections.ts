// Every page of the console, what it needs, and what shows it.
import type { Component } from "svelte";

export interface Destination {
  path: string;
  title: string;
  /** Goes there, after `g`. */
  key: string;
  /** Any of these scopes opens it. */
  needs: string[];
  /** What can be begun there, by `?do=`. */
  actions?: { title: string; does: string }[];
  /** It is about a time: what is chosen elsewhere goes along. */
  ranged?: true;
  load: () => Promise<{ default: Component<any> }>;
  /** Shows one thing of it: what follows the path. */
  one?: () => Promise<{ default: Component<any> }>;
}

export const sections: { title: string; places: Destination[] }[] = [
  {
    title: "Now",
    places: [{ path: "/", ranged: true, title: "Overview", key: "o", needs: ["admin", "idv", "aml"], load: () => import("../views/Overview.svelte") }],
  },
  {
    title: "Security",
    places: [
      { path: "/attacks", actions: [{ title: "Block an address", does: "block" }], ranged: true, title: "Attacks", key: "t", needs: ["admin"], load: () => import("../views/Attacks.svelte"), one: () => import("../views/Alert.svelte") },
      { path: "/gateway", title: "Gateway", key: "r", needs: ["admin"], load: () => import("../views/Gateway.svelte") },
      { path: "/log", ranged: true, title: "Audit log", key: "l", needs: ["admin"], load: () => import("../views/Log.svelte") },
    ],
  },
  {
    title: "Identity",
    places: [
      { path: "/people", actions: [{ title: "Invite somebody", does: "invite" }], title: "People", key: "p", needs: ["admin"], load: () => import("../views/People.svelte"), one: () => import("../views/Person.svelte") },
      { path: "/groups", actions: [{ title: "Make a group", does: "add" }], title: "Groups", key: "u", needs: ["admin"], load: () => import("../views/Groups.svelte"), one: () => import("../views/Group.svelte") },
      { path: "/roles", title: "Roles", key: "e", needs: ["admin"], load: () => import("../views/Roles.svelte") },
      { path: "/invitations", title: "Invitations", key: "i", needs: ["admin"], load: () => import("../views/Invitations.svelte") },
      { path: "/clients", actions: [{ title: "Add a client", does: "add" }], title: "Clients", key: "c", needs: ["admin"], load: () => import("../views/Clients.svelte"), one: () => import("../views/Client.svelte") },
      { path: "/api-keys", actions: [{ title: "Make a key", does: "add" }], title: "API keys", key: "a", needs: ["admin"], load: () => import("../views/ApiKeys.svelte") },
      { path: "/certificates", actions: [{ title: "Let a workload in", does: "enrol" }], title: "Certificates", key: "x", needs: ["admin"], load: () => import("../views/Certificates.svelte") },
      { path: "/keys", title: "Signing keys", key: "k", needs: ["admin"], load: () => import("../views/Keys.svelte") },
    ],
  },
  {
    title: "Verification",
    places: [
      { path: "/cases", title: "Cases", key: "v", needs: ["idv"], load: () => import("../views/Cases.svelte"), one: () => import("../views/Case.svelte") },
      { path: "/hits", title: "Screening hits", key: "h", needs: ["aml"], load: () => import("../views/Hits.svelte") },
      { path: "/workflows", actions: [{ title: "New workflow", does: "add" }], title: "Workflows", key: "w", needs: ["idv"], load: () => import("../views/Workflows.svelte"), one: () => import("../views/Workflow.svelte") },
    ],
  },
  {
    title: "Audit",
    places: [
      { path: "/compliance", title: "Compliance", key: "m", needs: ["admin"], load: () => import("../views/Compliance.svelte") },
      { path: "/requests", actions: [{ title: "Write down a request", does: "add" }], title: "Data requests", key: "d", needs: ["admin"], load: () => import("../views/Requests.svelte"), one: () => import("../views/Request.svelte") },
    ],
  },
  {
    title: "Yours",
    places: [{ path: "/settings", title: "Settings", key: "s", needs: ["admin", "idv", "aml"], load: () => import("../views/Settings.svelte") }],
  },
];

interface Shown {
  to: Destination;
  given: Record<string, string>;
}

/** What is shown at a path. */
export function shown(path: string): Shown | undefined {
  const all = sections.flatMap((section) => section.places);
  const exact = all.find((to) => to.path === path);
  if (exact) return { to: exact, given: {} };
  const [, first, id, more] = path.split("/");
  const to = all.find((to) => to.path === `/${first}` && to.one);
  if (!to?.one || !id || more !== undefined) return undefined;
  return { to: { ...to, load: to.one }, given: { id: decodeURIComponent(id) } };
}
