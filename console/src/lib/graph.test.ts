import { expect, test } from "vitest";
import { add, arrange, blank, free, lead, move, put, read, remove, rename, solid, Undo, ways, type Graph } from "./graph";

const example: Graph = read({
  schema: "idv.workflow/1", start: "zone", limits: { attempts: 3 },
  nodes: {
    zone: { type: "check", check: "mrz", next: "both", visits: { max: 3, over: "no" } },
    both: { type: "parallel", branches: ["chip", "lists"], join: { mode: "all", then: "route" } },
    chip: { type: "check", check: "emrtd", from: "zone", on_unsupported: { set: "not_performed" }, on_error: "no" },
    lists: { type: "check", check: "aml", from: "zone" },
    route: { type: "branch", cases: [
      { id: "forged", when: { field: "chip.passive", op: "equals", value: "failed" }, goto: "no" },
      { id: "soft", when: { any: [{ field: "lists.hits", op: "greater", value: { field: "chip.n" } }, { cel: "chip.n > 1" }] }, goto: "human" },
    ], else: "end" },
    human: { type: "review", on_timeout: "no" },
    end: { type: "decide", rule: "fold", review: { on_declined: "no" } },
    no: { type: "decide", set: "declined" },
  },
  layout: { zone: { x: 7, y: 9 } },
});
const out = (graph: Graph, name: string) => ways(graph.nodes[name]!).map((way) => `${way.name} ${way.to ?? "-"}`);

test("every way out is known", () => {
  expect(out(example, "zone")).toEqual(["next both", "over no"]);
  expect(out(example, "both")).toEqual(["branch 1 chip", "branch 2 lists", "then route"]);
  expect(out(example, "chip")).toEqual(["next -", "on_error no"]);
  expect(out(example, "route")).toEqual(["forged no", "soft human", "else end"]);
  expect(out(example, "human")).toEqual(["on_approved -", "on_declined -", "on_timeout no"]);
  expect(out(example, "end")).toEqual(["on_declined no"]);
});

test("what leads to a node that goes leads nowhere", () => {
  const gone = remove(example, "no");
  expect(Object.values(gone.nodes).flatMap((node) => ways(node)).some((way) => way.to === "no")).toBe(false);
  expect(out(gone, "route")[0]).toBe("forged -");
  expect(gone.nodes.zone!.visits).toEqual({ max: 3 });
  const branch = remove(example, "chip");
  expect(branch.nodes.both!.branches).toEqual(["lists"]);
  expect(remove(example, "zone").layout).toEqual({});
  expect(remove(example, "zone").nodes.lists).toEqual({ type: "check", check: "aml" });
  expect(example.nodes.both!.branches).toEqual(["chip", "lists"]);
});

test("a node has another name wherever it is named, but for expressions", () => {
  const renamed = rename(rename(example, "chip", "passport"), "zone", "mrz");
  expect(renamed.start).toBe("mrz");
  expect(renamed.nodes.both!.branches).toEqual(["passport", "lists"]);
  expect(renamed.nodes.passport!.from).toBe("mrz");
  expect(renamed.layout).toEqual({ mrz: { x: 7, y: 9 } });
  const text = JSON.stringify(renamed.nodes.route);
  expect(text).toContain('"passport.passive"');
  expect(text).toContain('{"field":"passport.n"}');
  expect(text).toContain("chip.n > 1");
  expect(rename(example, "zone", "chip")).toBe(example);
  expect(rename(example, "none", "some")).toBe(example);
});

test("members are put, taken out, and led elsewhere", () => {
  expect(put(example, "zone", ["retry", "max"], 2).nodes.zone!.retry).toEqual({ max: 2 });
  expect(put(example, "zone", ["next"], undefined).nodes.zone).not.toHaveProperty("next");
  expect(put(example, "none", ["next"], "end")).toBe(example);
  expect(lead(example, "route", ["cases", 1, "goto"], "end").nodes.route!.cases).toMatchObject([{}, { id: "soft", goto: "end" }]);
  expect(lead(example, "both", ["branches", 0], undefined).nodes.both!.branches).toEqual(["lists"]);
});

test("names are free and fit", () => {
  expect(free(example, "zone")).toBe("zone_2");
  expect(free(example, "Über 18!")).toBe("ber_18_");
  expect(free(example, "123")).toBe("node");
  const made = add(add(blank(), "check", "mrz").graph, "check", "mrz", { x: 1.4, y: 2.6 });
  expect(made.name).toBe("mrz_2");
  expect(made.graph.layout).toEqual({ mrz_2: { x: 1, y: 3 } });
});

test("fields are asked of what is drawn so far", () => {
  const half = lead(put(example, "zone", ["next"], "nobody"), "route", ["cases", 0, "goto"], undefined);
  const asked = solid(half);
  expect(asked.nodes.zone).not.toHaveProperty("next");
  expect(asked.nodes.route!.cases).toHaveLength(1);
  expect(solid(example)).toEqual(example);
});

test("each node has a place of its own", () => {
  const places = arrange(example);
  expect(places.zone).toEqual({ x: 7, y: 9 });
  expect(arrange(example, true).zone).toEqual({ x: 0, y: 0 });
  const anew = Object.values(arrange({ ...example, nodes: { ...example.nodes, lost: { type: "wait", for: "PT1S" } } }, true));
  expect(new Set(anew.map(({ x, y }) => `${x} ${y}`)).size).toBe(anew.length);
  expect(arrange(move(example, { end: { x: 1.2, y: -3.7 } })).end).toEqual({ x: 1, y: -4 });
  expect(arrange({ ...blank(), start: "none" }).end).toEqual({ x: 250, y: 0 });
});

test("everything can be undone and done again", () => {
  let history = Undo.of(0);
  for (let at = 1; at <= Undo.MOST + 5; at++) history = history.next(at);
  for (let at = 0; at < 3; at++) history = history.undo();
  expect(history.now).toBe(Undo.MOST + 2);
  expect(history.redo().redo().redo().redo().now).toBe(Undo.MOST + 5);
  expect(history.next(-1).canRedo).toBe(false);
  while (history.canUndo) history = history.undo();
  expect(history.now).toBe(5);
});

test("names that objects have anyway are names like others", () => {
  const graph: Graph = read(JSON.parse('{"start":"constructor","nodes":{"constructor":{"type":"wait","for":"PT1S","next":"toString"},"__proto__":{"type":"wait","for":"PT1S","next":"valueOf"}}}'));
  expect(solid(graph).nodes.constructor).toEqual({ type: "wait", for: "PT1S" });
  expect(Object.keys(arrange(graph, true)).sort()).toEqual(["__proto__", "constructor"]);
  expect(free(graph, "toString")).toBe("tostring");
  expect(put(graph, "hasOwnProperty", ["next"], "x")).toBe(graph);
  expect(rename(graph, "constructor", "first").start).toBe("first");
});

test.each([null, [], "x", {}, { nodes: [] }, { nodes: { a: null } }, { nodes: { a: {} } }])("%j is no graph", (value) => {
  expect(() => read(value)).toThrow();
});
