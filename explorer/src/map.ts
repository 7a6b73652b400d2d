// The map: where nodes lie on two of the eight axes.

import { DirectedGraph } from "graphology";

import type { TokenPoint } from "./api";
import { failure, type App, type View } from "./app";
import { h, notice, put, replace, stored } from "./dom";
import { Drawing, draws } from "./drawing";
import { furthest } from "./furthest";
import { labels } from "./labels";
import { count, counted, excerpt, title } from "./values";

interface Tokens {
  axes: string[];
  total: number;
  tokens: TokenPoint[];
}

const MOST = 10_000;
/** Nodes that are named at each end of an axis. */
const ENDS = 5;

export function makeMap(app: App, given: URLSearchParams): View {
  const gone = new AbortController();
  const canvas = h("div", { class: "canvas", role: "application", "aria-label": "Map: arrow keys move it, plus and minus zoom; what lies furthest out is listed beside it" });
  const status = h("p", { class: "told", role: "status" });
  const controls = h("div", { class: "actions" });
  const legend = h("div", { class: "legend" });
  const ends = h("div", { class: "ends" });
  const names = {
    left: h("span", { class: "axis to-left" }), right: h("span", { class: "axis to-right" }),
    top: h("span", { class: "axis to-top" }), bottom: h("span", { class: "axis to-bottom" }),
  };
  const plot = h("div", { class: "plot" }, canvas, ...Object.values(names), legend);
  const element = h("main", { class: "map" }, h("header", { class: "over" }, status, controls), plot, ends);
  let chosen: string | null = app.opened();
  let drawing: Drawing | null = null;

  const show = async () => {
    replace(canvas, notice("busy", "Reading…"));
    try {
      const organised = given.get("organised") === "yes";
      const found = await app.api.get<Tokens>("/v1/tokens", { limit: MOST, organised }, gone.signal);
      replace(canvas);
      if (found.total === 0) {
        replace(element, notice("empty", "Nothing is embedded yet", h("p", {}, "The map shows nodes that have a vector; the weaver makes one for each text.")));
        return;
      }
      const at = (name: string, other: string) => Math.max(0, found.axes.indexOf(given.get(name) ?? other));
      const [x, y] = [at("x", "social"), at("y", "abstract")];
      choices(found.axes, x, y, organised);
      const some = found.tokens.length < found.total ? `${count(found.tokens.length)} of ${count(found.total)} nodes, spread evenly` : counted(found.total, "node");
      status.textContent = some;
      const [across, up] = [found.axes[x]!, found.axes[y]!];
      names.left.textContent = `◂ less ${across}`;
      names.right.textContent = `more ${across} ▸`;
      names.top.textContent = `▴ more ${up}`;
      names.bottom.textContent = `▾ less ${up}`;
      const kinds = draw(found.tokens, x, y);
      replace(legend, ...kinds.map(([kind, of]) => h("span", {}, labels([kind]), ` ${count(of)}`)));
      await name(found, [x, y]);
    } catch (error) {
      replace(element, failure(app, error, () => app.go("map", {})));
    }
  };

  const choices = (axes: string[], x: number, y: number, organised: boolean) => {
    const go = () => app.go("map", { x: across.value, y: up.value, ...(box.checked ? { organised: "yes" } : {}) });
    const select = (label: string, chosen: number) => h("select", { "aria-label": label, onchange: go },
      ...axes.map((axis, at) => h("option", { selected: at === chosen }, axis)));
    const [across, up] = [select("Across", x), select("Up", y)];
    const box = h("input", { type: "checkbox", checked: organised, onchange: go });
    replace(controls, h("label", {}, "across", across), h("label", {}, "up", up),
      h("label", { title: "Moved along their edges, so that what hangs together lies together" }, box, "organised"),
      h("button", { class: "quiet", onclick: () => drawing?.fit() }, "Show all"));
  };

  const draw = (tokens: TokenPoint[], x: number, y: number): [string, number][] => {
    const kinds = new Map<string, number>();
    const graph = new DirectedGraph();
    const size = tokens.length > 2_000 ? 3 : 5;
    for (const { id, labels: of, coordinates } of tokens) {
      const kind = of[0] ?? "";
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      graph.mergeNode(id, { x: coordinates[x] ?? 0, y: coordinates[y] ?? 0, size, label: "", kind });
    }
    if (!draws()) {
      replace(canvas, notice("error", "This browser does not draw maps", h("p", {}, "WebGL is turned off. What lies furthest out is listed beside it.")));
      return [];
    }
    drawing = new Drawing(graph, canvas, () => chosen, () => false);
    drawing.sigma.on("clickNode", ({ node }) => app.open(node));
    drawing.sigma.on("enterNode", ({ node }) => void hover(graph, node));
    return [...kinds].sort((a, b) => b[1] - a[1]).slice(0, 8);
  };

  // What a point is called is asked for when one points at it.
  const hover = async (graph: DirectedGraph, id: string) => {
    if (graph.getNodeAttribute(id, "label") !== "") return;
    graph.setNodeAttribute(id, "label", "…");
    const named = await app.api.node(id, gone.signal).then((node) => title(node, 60), () => excerpt(id, 60));
    graph.setNodeAttribute(id, "label", named);
  };

  const name = async (found: Tokens, axes: number[]) => {
    const lists = axes.flatMap((axis) => ([1, -1] as const).map((sign) => ({ axis, sign, tokens: furthest(found.tokens, axis, sign, ENDS) })));
    const ids = [...new Set(lists.flatMap((list) => list.tokens.map((token) => token.id)))];
    const nodes = await app.api.nodes(ids, gone.signal);
    replace(ends);
    for (const { axis, sign, tokens } of lists) {
      const items = tokens.map((token) => {
        const node = nodes.get(token.id);
        return node && h("li", {}, h("button", { class: "link", "data-id": node.id, onclick: () => app.open(node.id) }, stored(title(node, 60))));
      });
      const list = h("ol", {});
      put(list, ...items);
      put(ends, h("section", {}, h("h3", {}, `${sign > 0 ? "Most" : "Least"} ${found.axes[axis]}`), list));
    }
  };

  void show();
  return {
    element,
    select: (id) => {
      chosen = id;
      drawing?.sigma.refresh({ schedule: true });
    },
    show: () => drawing?.refresh(),
    close: () => {
      gone.abort();
      drawing?.close();
    },
  };
}
