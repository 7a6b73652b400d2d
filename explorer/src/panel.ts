// One node: what it says, its edges, and its editor.

import { ApiError, type StoredEdge } from "./api";
import { failure, type App } from "./app";
import { h, notice, put, replace, stored } from "./dom";
import { editor } from "./editor";
import { labels } from "./labels";
import { excerpt, moment, shown, text, title, type StoredNode, type Value } from "./values";

const PAGE = 25;

interface Panel {
  element: HTMLElement;
  show(id: string | null): void;
}

export function makePanel(app: App): Panel {
  const element = h("aside", { class: "panel", "aria-label": "Node", hidden: true });
  let gone = new AbortController();
  const show = (id: string | null) => {
    gone.abort();
    gone = new AbortController();
    element.hidden = id === null;
    if (id !== null) void look(app, element, id, gone.signal);
    else replace(element);
  };
  return { element, show };
}

/** The panel of a node that does not exist yet. */
export function create(app: App, element: HTMLElement): void {
  element.hidden = false;
  replace(element, top(app, h("h2", {}, "New node")), editor(app, null, (id) => app.open(id), () => app.open(null)));
  element.querySelector<HTMLElement>("input")?.focus();
}

function top(app: App, ...children: HTMLElement[]): HTMLElement {
  const close = h("button", { class: "close", "aria-label": "Close", title: "Close (Esc)", onclick: () => app.open(null) }, "×");
  return h("header", {}, ...children, close);
}

async function look(app: App, element: HTMLElement, id: string, signal: AbortSignal): Promise<void> {
  replace(element, top(app, h("h2", {}, stored(id))), notice("busy", "Reading…"));
  const again = () => void look(app, element, id, signal);
  try {
    const node = await app.api.node(id, signal);
    replace(element, top(app, h("h2", {}, stored(title(node)))), labels(node.labels), buttons(app, element, node, again),
      properties(node), facts(node), await enrichment(app, id, signal), edges(app, node, signal));
  } catch (error) {
    const missing = error instanceof ApiError && error.code === "NotFound";
    const told = missing ? notice("empty", "There is no such node", h("p", {}, "It may have been deleted.")) : failure(app, error, again);
    if (told) replace(element, top(app, h("h2", {}, stored(id))), told);
  }
}

function buttons(app: App, element: HTMLElement, node: StoredNode, again: () => void): HTMLElement {
  const chat = node.labels.includes("Chat") ? node.id : text(node, "chat_id");
  const button = (label: string, action: () => void, quiet = "") => h("button", { class: quiet, onclick: action }, label);
  const out = h("div", { class: "actions" }, button("Graph", () => app.go("graph", { id: node.id })),
    chat !== null && button("Chat", () => app.go("chats", { id: chat })));
  if (!app.api.writes) {
    put(out, h("button", { class: "quiet", title: "This token may only read", onclick: () => app.askToken("Changes need a token that may write.") }, "Edit…"));
    return out;
  }
  const edit = () => {
    replace(element, top(app, h("h2", {}, stored(title(node)))), editor(app, node, () => {
      app.changed(node.id);
      again();
    }, again));
    element.querySelector<HTMLElement>("textarea, input")?.focus();
  };
  put(out, button("Edit", edit), button("Delete…", () => sure(app, node), "danger"));
  return out;
}

/** Asks once more before a node goes. */
function sure(app: App, node: StoredNode): void {
  const dialog = h("dialog", { class: "sure", onclose: () => dialog.remove() });
  const problem = h("div");
  const remove = async () => {
    try {
      await app.api.call("DELETE", `/v1/nodes/${encodeURIComponent(node.id)}`);
      dialog.close();
      app.open(null);
      app.changed(node.id);
    } catch (error) {
      replace(problem, failure(app, error));
    }
  };
  put(dialog, h("h2", {}, "Delete this node?"), h("p", {}, stored(title(node))),
    h("p", {}, "Its edges and vectors go with it. This cannot be undone."), problem,
    h("div", { class: "actions" }, h("button", { autofocus: true, onclick: () => dialog.close() }, "Keep it"),
      h("button", { class: "danger", onclick: () => void remove() }, "Delete")));
  document.body.append(dialog);
  dialog.showModal();
}

function properties(node: StoredNode): HTMLElement {
  const entries = Object.entries(node.properties);
  if (entries.length === 0) return h("p", { class: "hint" }, "It has no properties.");
  const out = h("dl", { class: "properties" });
  for (const [name, value] of entries) put(out, h("dt", {}, stored(name)), h("dd", {}, long(value)));
  return out;
}

function long(value: Value): HTMLElement {
  const all = shown(value);
  const most = 2_000;
  if (all.length <= most) return stored(all);
  const more = h("button", { class: "link", onclick: () => {
    said.textContent = all;
    more.remove();
  } }, ` all ${all.length} characters`);
  const said = stored(`${all.slice(0, most)}…`);
  return h("span", {}, said, more);
}

function facts(node: StoredNode): HTMLElement {
  const fact = (name: string, value: string) => [h("dt", {}, name), h("dd", {}, value)];
  return h("details", { class: "facts" }, h("summary", {}, "More"), h("dl", { class: "properties" },
    h("dt", {}, "id"), h("dd", {}, h("code", {}, stored(node.id))),
    ...fact("version", String(node.version)), ...fact("made", moment(node.created_at)), ...fact("changed", moment(node.updated_at)),
    ...fact("expires", node.expires_at === null ? "never" : moment(node.expires_at)),
    ...fact("origin", node.derived ? "made by the weaver" : "stored by a user")));
}

async function enrichment(app: App, id: string, signal: AbortSignal): Promise<HTMLElement | null> {
  type States = Record<string, { state: string; error: string | null }>;
  const states = await app.api.get<States>(`/v1/nodes/${encodeURIComponent(id)}/status`, {}, signal);
  const entries = Object.entries(states);
  if (entries.length === 0) return null;
  const state = ([name, { state: is, error }]: [string, States[string]]) =>
    h("li", { class: is }, `${name}: ${is}`, error !== null && stored(error, { class: "raw" }));
  return h("ul", { class: "enrichment", "aria-label": "Enrichment" }, ...entries.map((it) => state(it as [string, States[string]])));
}

function edges(app: App, node: StoredNode, signal: AbortSignal): HTMLElement {
  const list = h("ul", { class: "edges" });
  const out = h("section", {}, h("h3", {}, "Edges"), list);
  const load = async (after: string | null) => {
    try {
      const page = await app.api.edges(node.id, PAGE, after, signal);
      const ends = page.edges.map((edge) => (edge.source === node.id ? edge.target : edge.source));
      const nodes = await app.api.nodes([...new Set(ends)], signal);
      if (after === null && page.edges.length === 0) put(list, h("li", { class: "hint" }, "None."));
      for (const edge of page.edges) put(list, entry(app, node.id, edge, nodes));
      if (page.next === null) return;
      const more = h("button", { class: "more", onclick: () => {
        more.remove();
        void load(page.next);
      } }, "More");
      out.append(more);
    } catch (error) {
      put(out, failure(app, error, () => void load(after)));
    }
  };
  void load(null);
  return out;
}

function entry(app: App, own: string, edge: StoredEdge, nodes: Map<string, StoredNode>): HTMLElement {
  const leaves = edge.source === own;
  const other = leaves ? edge.target : edge.source;
  const node = nodes.get(other);
  const past = edge.valid_to !== null && new Date(edge.valid_to) < new Date();
  return h("li", { class: past ? "past" : "" }, h("span", { class: "arrow", "aria-label": leaves ? "to" : "from" }, leaves ? "→" : "←"),
    stored(excerpt(edge.type, 40), { class: "type" }), h("button", { class: "link", "data-id": other, onclick: () => app.open(other) }, stored(node ? title(node, 70) : other)));
}
