// A workflow as it is drawn: what leads where, and changes of it. Pure; each change makes a new graph, so that every
// one can be undone. What a graph means, and whether it makes sense, only the server knows.
import { isObject } from "./events";

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Fields = { [name: string]: Json };
export interface Graph {
  [name: string]: Json | undefined;
  schema: string;
  start: string;
  nodes: { [name: string]: Fields };
  layout?: Fields;
}

export const TYPES = ["check", "branch", "parallel", "wait", "review", "webhook", "decide"] as const;
export type NodeType = (typeof TYPES)[number];

/** A way out of a node: `path` leads to the name of the next one within it. */
export interface Way {
  path: (string | number)[];
  name: string;
  to: string | undefined;
}

/** Reads a graph out of whatever somebody gives; says what is wrong where it is none. */
export function read(value: unknown): Graph {
  if (!isObject(value)) throw new Error("a workflow is a JSON object");
  if (!isObject(value.nodes)) throw new Error("the member nodes is missing");
  for (const [name, node] of Object.entries(value.nodes)) {
    if (!isObject(node) || typeof node.type !== "string") throw new Error(`the node ${name} has no type`);
  }
  return structuredClone({ ...value, schema: String(value.schema ?? "idv.workflow/1"), start: String(value.start ?? "") }) as Graph;
}

/** Whether there is such a node. Names are what somebody wrote: `constructor` is one like any other. */
export function has(graph: Graph, name: string): boolean {
  return Object.hasOwn(graph.nodes, name);
}

/** What a new workflow begins with. */
export function blank(): Graph {
  return { schema: "idv.workflow/1", start: "end", nodes: { end: { type: "decide", rule: "fold" } } };
}

const text = (value: Json | undefined) => (typeof value === "string" && value ? value : undefined);
const within = (value: Json | undefined, name: string): Json | undefined => (isObject(value) ? (value as Fields)[name] : undefined);
const list = (value: Json | undefined): Json[] => (Array.isArray(value) ? value : []);

/** Every way out, also those that lead nowhere yet. */
export function ways(node: Fields): Way[] {
  const one = (name: string) => ({ path: [name], name, to: text(node[name]) });
  const out: Way[] = [];
  switch (node.type) {
    case "check":
      out.push(one("next"));
      // `{"set": …}` leads on to `next`.
      for (const name of ["on_error", "on_unavailable", "on_unsupported"]) if (text(node[name])) out.push(one(name));
      break;
    case "wait":
    case "webhook":
      out.push(one("next"));
      break;
    case "branch":
      list(node.cases).forEach((found, at) => out.push({ path: ["cases", at, "goto"], name: text(within(found, "id")) ?? `case ${at + 1}`, to: text(within(found, "goto")) }));
      out.push(one("else"));
      break;
    case "parallel":
      list(node.branches).forEach((to, at) => out.push({ path: ["branches", at], name: `branch ${at + 1}`, to: text(to) }));
      out.push({ path: ["join", "then"], name: "then", to: text(within(node.join, "then")) });
      break;
    case "review":
      for (const name of ["on_approved", "on_declined", "on_timeout"]) out.push(one(name));
      break;
    case "decide":
      for (const name of ["on_approved", "on_declined", "on_timeout"]) {
        const to = text(within(node.review, name));
        if (to) out.push({ path: ["review", name], name, to });
      }
      break;
  }
  const over = text(within(node.visits, "over"));
  if (over) out.push({ path: ["visits", "over"], name: "over", to: over });
  return out;
}

/** Puts a value into a node; `undefined` takes the member out. */
export function put(graph: Graph, name: string, path: (string | number)[], value: Json | undefined): Graph {
  const node = has(graph, name) ? graph.nodes[name] : undefined;
  return node ? { ...graph, nodes: { ...graph.nodes, [name]: deep(node, path, value) as Fields } } : graph;
}

function deep(into: Json | undefined, [first, ...rest]: (string | number)[], value: Json | undefined): Json | undefined {
  if (first === undefined) return value;
  if (typeof first === "number") {
    const copy = [...list(into)];
    const inner = deep(copy[first], rest, value);
    if (inner === undefined) copy.splice(first, 1);
    else copy[first] = inner;
    return copy;
  }
  const copy: Fields = isObject(into) ? { ...(into as Fields) } : {};
  const inner = deep(copy[first], rest, value);
  if (inner === undefined) delete copy[first];
  else copy[first] = inner;
  return copy;
}

/** Leads a way to another node, or to none. */
export function lead(graph: Graph, from: string, path: (string | number)[], to: string | undefined): Graph {
  // A case that leads nowhere stays, and the server says so.
  const empty = path.at(-1) === "goto" ? "" : undefined;
  return put(graph, from, path, to ?? empty);
}

/** The same without ways that lead nowhere yet: while somebody draws, what is known at a node is asked of this. */
export function solid(graph: Graph): Graph {
  let found = graph;
  for (const [name, node] of Object.entries(graph.nodes)) {
    for (const way of ways(node).toReversed()) {
      if (way.to && has(graph, way.to)) continue;
      // A case goes as a whole.
      found = put(found, name, way.path[0] === "cases" ? way.path.slice(0, 2) : way.path, undefined);
    }
  }
  return found;
}

/** A name that is not taken. */
export function free(graph: Graph, wanted: string): string {
  const plain = wanted.toLowerCase().replace(/[^a-z0-9_]+/g, "_").replace(/^[^a-z]+/, "").slice(0, 40) || "node";
  if (!has(graph, plain)) return plain;
  for (let at = 2; ; at++) if (!has(graph, `${plain}_${at}`)) return `${plain}_${at}`;
}

const NEW: Record<NodeType, () => Fields> = {
  check: () => ({ type: "check", check: "mrz" }),
  branch: () => ({ type: "branch", cases: [] }),
  parallel: () => ({ type: "parallel", branches: [], join: { mode: "all" } }),
  wait: () => ({ type: "wait", for: "PT1H" }),
  review: () => ({ type: "review", queue: "default", approvers: 1 }),
  webhook: () => ({ type: "webhook", event: "step_reached" }),
  decide: () => ({ type: "decide", rule: "fold" }),
};

/** A node more. `check` says which check it is. */
export function add(graph: Graph, type: NodeType, check?: string, at?: { x: number; y: number }): { graph: Graph; name: string } {
  const name = free(graph, check ?? type);
  const node = check ? { ...NEW.check(), check } : NEW[type]();
  const layout = at ? { layout: { ...graph.layout, [name]: { x: Math.round(at.x), y: Math.round(at.y) } } } : {};
  return { graph: { ...graph, ...layout, nodes: { ...graph.nodes, [name]: node } }, name };
}

/** A node less; what led there leads nowhere. */
export function remove(graph: Graph, name: string): Graph {
  const { [name]: _, ...nodes } = graph.nodes;
  let changed: Graph = { ...graph, nodes };
  for (const [from, node] of Object.entries(nodes)) {
    // From behind: a branch of `parallel` that goes moves those after it.
    for (const way of ways(node).toReversed()) if (way.to === name) changed = lead(changed, from, way.path, undefined);
    if (node.from === name) changed = put(changed, from, ["from"], undefined);
  }
  if (isObject(graph.layout)) {
    const { [name]: _, ...layout } = graph.layout as Fields;
    changed = { ...changed, layout };
  }
  return changed;
}

/** The same node under another name, for whoever leads there or looks at it in a rule. */
export function rename(graph: Graph, old: string, name: string): Graph {
  if (old === name || has(graph, name) || !has(graph, old)) return graph;
  let changed: Graph = { ...graph, nodes: Object.fromEntries(Object.entries(graph.nodes).map(([own, node]) => [own === old ? name : own, node])) };
  if (graph.start === old) changed.start = name;
  for (const [from, node] of Object.entries(changed.nodes)) {
    for (const way of ways(node)) if (way.to === old) changed = lead(changed, from, way.path, name);
    if (node.from === old) changed = put(changed, from, ["from"], name);
    if (node.type === "branch") changed = put(changed, from, ["cases"], fields(node.cases ?? [], old, name));
  }
  if (isObject(graph.layout) && graph.layout[old] !== undefined) {
    const { [old]: place, ...layout } = graph.layout as Fields;
    changed = { ...changed, layout: { ...layout, [name]: place ?? null } };
  }
  return changed;
}

/** Rules look at `node.field`; what is written in CEL stays as somebody wrote it. */
function fields(value: Json, old: string, name: string): Json {
  if (Array.isArray(value)) return value.map((one) => fields(one, old, name));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value as Fields).map(([member, inner]) => {
    const renamed = member === "field" && typeof inner === "string" && inner.startsWith(`${old}.`);
    return [member, renamed ? name + inner.slice(old.length) : fields(inner, old, name)];
  }));
}

export interface Place {
  x: number;
  y: number;
}

const WIDE = 250;
const HIGH = 120;

/** Where each node is: where somebody put it, or in columns by how far it is from the start. */
export function arrange(graph: Graph, anew = false): Record<string, Place> {
  const depth = new Map<string, number>([[graph.start, 0]]);
  const queue = has(graph, graph.start) ? [graph.start] : [];
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    for (const { to } of ways(graph.nodes[name]!)) {
      if (to && has(graph, to) && !depth.has(to)) {
        depth.set(to, depth.get(name)! + 1);
        queue.push(to);
      }
    }
  }
  const last = Math.max(0, ...depth.values());
  const rows = new Map<number, number>();
  const places: [string, Place][] = [];
  const names = Object.keys(graph.nodes).sort((a, b) => (depth.get(a) ?? last + 1) - (depth.get(b) ?? last + 1));
  for (const name of names) {
    // What cannot be reached stands apart, behind everything.
    const column = depth.get(name) ?? last + 1;
    const row = rows.get(column) ?? 0;
    rows.set(column, row + 1);
    const kept = anew || !graph.layout || !Object.hasOwn(graph.layout, name) ? undefined : graph.layout[name];
    const [x, y] = isObject(kept) ? [kept.x, kept.y] : [];
    places.push([name, typeof x === "number" && typeof y === "number" ? { x, y } : { x: column * WIDE, y: row * HIGH }]);
  }
  return Object.fromEntries(places);
}

/** Puts nodes where they are shown. */
export function move(graph: Graph, places: Record<string, Place>): Graph {
  const rounded = Object.entries(places).map(([name, { x, y }]) => [name, { x: Math.round(x), y: Math.round(y) }]);
  return { ...graph, layout: { ...graph.layout, ...(Object.fromEntries(rounded) as Fields) } };
}

/** What was, what is and what was undone. */
export class Undo<T> {
  private constructor(private readonly past: readonly T[], readonly now: T, private readonly future: readonly T[]) {}

  static of<T>(now: T): Undo<T> {
    return new Undo([], now, []);
  }

  static readonly MOST = 200;

  next(now: T): Undo<T> {
    return new Undo([...this.past, this.now].slice(-Undo.MOST), now, []);
  }

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  undo(): Undo<T> {
    const now = this.past.at(-1);
    return now === undefined ? this : new Undo(this.past.slice(0, -1), now, [this.now, ...this.future]);
  }

  redo(): Undo<T> {
    const [now, ...future] = this.future;
    return now === undefined ? this : new Undo([...this.past, this.now], now, future);
  }
}
