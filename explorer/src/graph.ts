// The graph around a node, which one can walk: a click expands what is clicked on, page by page.

import { ApiError } from "./api";
import { failure, type App, type View } from "./app";
import { h, notice, put, replace, stored } from "./dom";
import { Drawing, draws } from "./drawing";
import { labels } from "./labels";
import { Layout } from "./layout";
import { count, counted, excerpt, title, type StoredNode } from "./values";
import { MOST, Walk } from "./walk";

/** Edges of a page: of a click, and of a further one that is asked for. */
const PAGE = 50;
const LARGE = 1_000;
/** Edges of a node that are drawn in another colour when it is chosen. */
const SHOWN = 200;

export function makeGraph(app: App, given: URLSearchParams): View {
  const start = given.get("id");
  if (start === null) return choose(app);
  return new GraphView(app, start);
}

/** Nothing to begin with was named. */
function choose(app: App): View {
  const gone = new AbortController();
  const list = h("ul", { class: "starts" });
  const field = h("input", { name: "id", placeholder: "id of a node", "aria-label": "Id of a node", required: true });
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    app.go("graph", { id: field.value.trim() });
  };
  const form = h("form", { class: "line", onsubmit: submit }, field, h("button", { class: "main" }, "Show"));
  const element = h("main", { class: "page" }, notice("empty", "Where to begin?",
    h("p", {}, "Search for a node and choose “Graph”, give an id, or begin with one of these."), form), list);
  void (async () => {
    try {
      const begin = (label: string) => app.api.get<{ nodes: StoredNode[] }>("/v1/nodes", { label, limit: 12 }, gone.signal);
      const found = (await Promise.all(["Entity", "Chat"].map(begin))).flatMap((it) => it.nodes);
      const nodes = found.length > 0 ? found : (await app.api.get<{ nodes: StoredNode[] }>("/v1/nodes", { limit: 12 }, gone.signal)).nodes;
      put(list, ...nodes.map((node) => h("li", {}, h("button", { onclick: () => app.go("graph", { id: node.id }) },
        labels(node.labels), stored(title(node, 60))))));
    } catch (error) {
      replace(element, failure(app, error, () => app.go("graph")));
    }
  })();
  return { element, close: () => gone.abort() };
}

class GraphView implements View {
  readonly element: HTMLElement;
  private readonly gone = new AbortController();
  private readonly walk = new Walk();
  private readonly layout = new Layout(this.walk, (running) => this.tell(running));
  private readonly canvas = h("div", { class: "canvas", role: "application", "aria-label": "Graph: arrow keys move it, plus and minus zoom; its nodes are listed beside it" });
  private readonly status = h("p", { class: "told", role: "status" });
  private readonly legend = h("div", { class: "legend" });
  private readonly actions = h("div", { class: "actions" });
  private readonly problem = h("div", { class: "problem" });
  private readonly busy = new Set<string>();
  private drawing: Drawing | null = null;
  private chosen: string | null = null;

  constructor(
    private readonly app: App,
    private readonly start: string,
  ) {
    const bar = h("header", { class: "over" }, this.status, this.actions, this.problem);
    this.element = h("main", { class: "graph" }, this.canvas, bar, this.legend);
    void this.begin();
  }

  private async begin(): Promise<void> {
    if (!draws()) {
      replace(this.canvas, notice("error", "This browser does not draw graphs", h("p", {}, "WebGL is turned off. The edges of a node are listed beside it.")));
    }
    try {
      const node = await this.app.api.node(this.start, this.gone.signal);
      this.walk.add(node);
      if (draws()) this.draw();
      if (this.app.opened() === null) this.app.open(this.start);
      await this.expand(this.start);
    } catch (error) {
      this.fail(error, () => void this.begin());
    }
  }

  private draw(): void {
    if (this.drawing) return;
    const { graph } = this.walk;
    const touches = (edge: string, node: string) =>
      (graph.source(edge) === node || graph.target(edge) === node) && graph.degree(node) <= SHOWN;
    const drawing = new Drawing(graph, this.canvas, () => this.chosen, touches, { renderEdgeLabels: true });
    drawing.sigma.on("clickNode", ({ node }) => {
      this.app.open(node);
      void this.expand(node);
    });
    drawing.sigma.on("doubleClickNode", (event) => event.preventSigmaDefault());
    drawing.sigma.on("clickStage", () => this.canvas.focus());
    this.drawing = drawing;
  }

  private fail(error: unknown, retry: () => void): void {
    replace(this.problem, failure(this.app, error, () => {
      replace(this.problem);
      retry();
    }));
  }

  /** Takes the next page of the edges of a node; a click takes only the first one. */
  private async expand(id: string, limit = PAGE, further = false): Promise<void> {
    const state = this.walk.state(id);
    if (this.busy.has(id) || (state && (!further || state.next === null))) return;
    if (this.walk.full) {
      replace(this.problem, notice("empty", `${count(MOST)} nodes are shown`, h("p", {}, "Begin anew from one of them.")));
      return;
    }
    this.busy.add(id);
    this.tell(this.layout.running);
    try {
      const { signal } = this.gone;
      const page = await this.app.api.edges(id, limit, state?.next ?? null, signal);
      const ends = page.edges.map((edge) => (edge.source === id ? edge.target : edge.source));
      const unknown = [...new Set(ends)].filter((end) => !this.walk.has(end));
      const nodes = await this.app.api.nodes(unknown, signal);
      const added = this.walk.expand(id, page.edges, nodes, page.next);
      if (added > 0) this.layout.start();
    } catch (error) {
      this.fail(error, () => void this.expand(id, limit, further));
    } finally {
      this.busy.delete(id);
      this.tell(this.layout.running);
    }
  }

  private tell(running: boolean): void {
    const { graph } = this.walk;
    this.drawing?.hurry(running);
    const doing = this.busy.size > 0 ? ", reading…" : running ? ", arranging…" : "";
    this.status.textContent = `${counted(graph.order, "node")}, ${counted(graph.size, "edge")}${doing}`;
    const kinds = this.walk.counts().slice(0, 8);
    replace(this.legend, ...kinds.map(([kind, of]) => h("span", {}, labels([kind]), ` ${count(of)}`)));
    this.offer(running);
  }

  private offer(running: boolean): void {
    const focused = this.actions.contains(document.activeElement) ? document.activeElement?.textContent : null;
    const button = (text: string, action: () => void) => h("button", { class: "quiet", onclick: action }, text);
    const { chosen } = this;
    const state = chosen === null ? null : this.walk.state(chosen);
    replace(this.actions);
    if (chosen !== null && this.walk.has(chosen)) {
      const name = excerpt(this.walk.graph.getNodeAttribute(chosen, "label"), 24);
      if (state === null) put(this.actions, button(`Expand ${name}`, () => void this.expand(chosen)));
      else if (state.next !== null) {
        put(this.actions, h("span", {}, `${counted(state.edges, "edge")} of `, stored(name), " so far"),
          button(`${PAGE} more`, () => void this.expand(chosen, PAGE, true)),
          button(`${count(LARGE)} more`, () => void this.expand(chosen, LARGE, true)));
      }
      if (chosen !== this.start) put(this.actions, button("Begin here", () => this.app.go("graph", { id: chosen })));
    }
    put(this.actions, button("Show all", () => this.drawing?.fit()),
      button(running ? "Stop arranging" : "Arrange", () => {
        if (this.layout.running) this.layout.stop();
        else this.layout.start();
        this.tell(this.layout.running);
      }));
    // The buttons are new, and whoever was on one stays there.
    for (const item of this.actions.querySelectorAll("button")) if (item.textContent === focused) item.focus();
  }

  /** A node that was chosen beside the graph comes into it, from where the last one is. */
  select(id: string | null): void {
    const from = this.chosen;
    this.chosen = id;
    // What is chosen beside the graph is clicked on, too.
    if (id !== null && id !== from && this.walk.graph.order > 0) void (this.walk.has(id) ? this.expand(id) : this.reach(id, from));
    this.drawing?.sigma.refresh({ schedule: true });
    this.tell(this.layout.running);
  }

  private async reach(id: string, from: string | null): Promise<void> {
    try {
      const node = await this.app.api.node(id, this.gone.signal);
      this.walk.add(node, from, 0);
      await this.expand(id);
    } catch (error) {
      this.fail(error, () => void this.reach(id, from));
    }
  }

  async changed(id: string): Promise<void> {
    try {
      this.walk.add(await this.app.api.node(id, this.gone.signal));
    } catch (error) {
      if (error instanceof ApiError && error.code === "NotFound") this.walk.remove(id);
      else this.fail(error, () => void this.changed(id));
    }
    this.tell(this.layout.running);
  }

  show(): void {
    this.drawing?.refresh();
  }

  hide(): void {
    this.layout.stop();
  }

  close(): void {
    this.gone.abort();
    this.layout.stop();
    this.drawing?.close();
  }
}
