// What is being drawn, and what the server says of it while somebody draws.
import { api, got } from "../lib/api";
import { read, solid, Undo, type Graph } from "../lib/graph";
import { refused } from "../lib/pages.svelte";
import type { Refused } from "../lib/api";
import type { components } from "../lib/openapi";

export type Problem = components["schemas"]["ProblemView"];
export type Field = components["schemas"]["FieldView"];
type Detail = components["schemas"]["WorkflowDetail"];

/** The server is asked when nobody has changed anything for so long, in milliseconds. */
const PAUSE = 350;

export class Editor {
  #undo = $state.raw(Undo.of<Graph>({ schema: "", start: "", nodes: {} }));
  #saved = $state.raw<Graph | undefined>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;

  selected = $state<string | undefined>();
  problems = $state.raw<Problem[]>([]);
  validated = $state(false);
  detail = $state.raw<Detail | undefined>();
  error = $state.raw<Refused | undefined>();
  busy = $state(false);

  readonly graph = $derived(this.#undo.now);
  /** What somebody else has saved since this was loaded. */
  theirs = $state.raw<Detail | undefined>();
  readonly canUndo = $derived(this.#undo.canUndo);
  readonly canRedo = $derived(this.#undo.canRedo);
  readonly changed = $derived(this.#undo.now !== this.#saved);

  constructor(readonly id: string) {}

  async load() {
    await this.#run(async () => this.#take(await got(api.GET("/idv/v1/workflows/{id}", { params: { path: { id: this.id } } }))));
  }

  #take(detail: Detail) {
    this.detail = detail;
    this.#undo = Undo.of(read(detail.draft));
    this.#saved = this.#undo.now;
    this.problems = detail.problems;
    this.validated = true;
  }

  change(graph: Graph) {
    this.#undo = this.#undo.next(graph);
    this.#later();
  }

  undo() {
    this.#undo = this.#undo.undo();
    this.#later();
  }

  redo() {
    this.#undo = this.#undo.redo();
    this.#later();
  }

  of(node: string): Problem[] {
    return this.problems.filter((problem) => problem.node === node);
  }

  #later() {
    if (this.selected && !this.graph.nodes[this.selected]) this.selected = undefined;
    this.validated = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.validate(), PAUSE);
  }

  async validate() {
    const asked = ++this.#asked;
    try {
      const said = await got(api.POST("/idv/v1/workflows/validate", { body: { graph: this.graph as never } }));
      if (asked !== this.#asked) return;
      this.problems = said.problems;
      this.validated = true;
      this.error = undefined;
    } catch (error) {
      if (asked === this.#asked) this.error = refused(error);
    }
  }

  /** Takes what somebody else has saved meanwhile; one step back is one's own. */
  takeTheirs() {
    const { theirs } = this;
    if (!theirs) return;
    // What cannot be read must not be saved over.
    const draft = read(theirs.draft);
    this.theirs = this.error = undefined;
    this.detail = theirs;
    this.change(draft);
    this.#saved = this.graph;
  }

  /** Saves over it. */
  async keepMine() {
    const { theirs } = this;
    if (!theirs || !this.detail) return;
    this.theirs = undefined;
    this.detail = { ...this.detail, revision: theirs.revision };
    await this.save();
  }

  async save() {
    await this.#run(async () => {
      const graph = this.graph;
      const body = { revision: this.detail?.revision ?? 0, graph: graph as never };
      this.detail = await got(api.PUT("/idv/v1/workflows/{id}/draft", { params: { path: { id: this.id } }, body }));
      this.#saved = graph;
      if (this.graph === graph) this.problems = this.detail.problems;
    });
  }

  async publish(note: string) {
    const body = { revision: this.detail?.revision ?? 0, note };
    const view = await got(api.POST("/idv/v1/workflows/{id}/publish", { params: { path: { id: this.id } }, body }));
    if (this.detail) this.detail = { ...this.detail, ...view };
  }

  async rollBack(version: number) {
    const body = { revision: this.detail?.revision ?? 0, version };
    const view = await got(api.POST("/idv/v1/workflows/{id}/rollback", { params: { path: { id: this.id } }, body }));
    if (this.detail) this.detail = { ...this.detail, ...view };
  }

  async fields(node: string): Promise<Field[]> {
    return (await got(api.POST("/idv/v1/workflows/fields", { body: { graph: solid(this.graph) as never, node } }))).fields;
  }

  /** What somebody else has saved, if that is what is in the way. */
  async #look() {
    try {
      const theirs = await got(api.GET("/idv/v1/workflows/{id}", { params: { path: { id: this.id } } }));
      if (theirs.revision !== this.detail?.revision) this.theirs = theirs;
    } catch {
      // The refusal is shown as it is.
    }
  }

  async #run(what: () => Promise<void>) {
    this.busy = true;
    this.error = undefined;
    try {
      await what();
    } catch (error) {
      this.error = refused(error);
      if (this.error.problem.status === 409) await this.#look();
    } finally {
      this.busy = false;
    }
  }
}
