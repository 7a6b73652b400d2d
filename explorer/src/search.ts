// Search: results with what each leg gave them, and the plan.

import type { Result, Results, Step } from "./api";
import { failure, type App, type View } from "./app";
import { bar, h, notice, put, replace, stored } from "./dom";
import { labels } from "./labels";
import { count, counted, excerpt, moment, momentOf, score, text, title } from "./values";

type Mode = "ask" | "query" | "recall";

const MODES: [Mode, string, string][] = [
  ["ask", "Ask", "A question in plain words: names, dates and neighbours count"],
  ["query", "Query", "Words and meaning, narrowed by label and by the graph"],
  ["recall", "Recall", "What hangs together with it in the graph"],
];

/** The request of what the form says. */
export function request(given: URLSearchParams): { path: string; body: Record<string, unknown> } {
  const q = given.get("q") ?? "";
  const mode = given.get("mode") ?? "ask";
  const body: Record<string, unknown> = { limit: Number(given.get("limit") ?? 20), explain: true };
  const label = given.get("label");
  if (label) body["labels"] = [label];
  const near = given.get("near");
  if (near) body["graph_filter"] = { start: [near], max_hops: Number(given.get("hops") ?? 2) };
  if (mode !== "query") return { path: mode === "recall" ? "/v1/recall" : "/v1/search", body: { ...body, text: q } };
  if (given.get("words") !== "no" && q !== "") body["text_query"] = { text: q };
  if (given.get("meaning") !== "no" && q !== "") body["semantic_query"] = { text: q };
  return { path: "/v1/query", body };
}

export function makeSearch(app: App, given: URLSearchParams): View {
  const gone = new AbortController();
  const found = h("section", { class: "results", "aria-label": "Results" });
  const element = h("main", { class: "search" }, form(app, given), found);
  const asked = (given.get("q") ?? "") !== "" || (given.get("label") ?? "") !== "" || (given.get("near") ?? "") !== "";
  const load = () => void (asked ? ask(app, given, found, gone.signal) : welcome(app, found, gone.signal));
  load();
  const select = (id: string | null) => {
    for (const item of found.querySelectorAll<HTMLElement>("[data-id]")) {
      item.classList.toggle("selected", item.dataset["id"] === id);
    }
  };
  return { element, select, again: load, changed: load, close: () => gone.abort() };
}

function form(app: App, given: URLSearchParams): HTMLElement {
  const mode = (given.get("mode") ?? "ask") as Mode;
  const text = h("input", {
    id: "q", type: "search", name: "q", placeholder: "Search…", autocomplete: "off",
    "aria-label": "Search", value: given.get("q") ?? "", maxlength: 100000,
  });
  const modes = h("fieldset", { class: "modes" }, h("legend", { class: "unseen" }, "How"));
  const query = h("div", { class: "narrow" });
  const choose = (chosen: Mode) => {
    for (const item of query.querySelectorAll<HTMLElement>(".legs")) item.hidden = chosen !== "query";
  };
  for (const [name, label, told] of MODES) {
    const radio = h("input", { type: "radio", name: "mode", value: name, checked: name === mode, onchange: () => choose(name) });
    modes.append(h("label", { title: told }, radio, label));
  }
  const box = (name: string, label: string) =>
    h("label", { class: "legs" }, h("input", { type: "checkbox", name, checked: given.get(name) !== "no" }), label);
  const field = (name: string, label: string, more: Record<string, string | number>) =>
    h("label", {}, label, h("input", { name, value: given.get(name) ?? "", ...more }));
  put(
    query,
    box("words", "words"),
    box("meaning", "meaning"),
    field("label", "label", { size: 10, placeholder: "any" }),
    field("near", "around node", { size: 14, placeholder: "id" }),
    field("hops", "hops", { type: "number", min: 1, max: 6, value: given.get("hops") ?? 2 }),
    h("label", {}, "at most", h("select", { name: "limit" }, ...["10", "20", "100", "500"].map((it) =>
      h("option", { selected: it === (given.get("limit") ?? "20") }, it)))),
  );
  choose(mode);
  // Whoever comes to ask may type at once.
  if (text.value === "" && app.opened() === null) queueMicrotask(() => text.focus());
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    const chosen: Record<string, string> = {};
    for (const name of ["q", "mode", "label", "near"]) {
      const value = String(data.get(name) ?? "").trim();
      if (value !== "") chosen[name] = value;
    }
    for (const name of ["words", "meaning"]) if (!data.has(name)) chosen[name] = "no";
    if (chosen["near"]) chosen["hops"] = String(data.get("hops") ?? 2);
    if (data.get("limit") !== "20") chosen["limit"] = String(data.get("limit"));
    // What is narrowed without words is a query.
    if (!chosen["q"] && (chosen["label"] || chosen["near"])) chosen["mode"] = "query";
    app.go("search", chosen);
  };
  return h("form", { class: "ask", role: "search", onsubmit: submit },
    h("div", { class: "line" }, text, h("button", { class: "main" }, "Search")), modes, query);
}

async function ask(app: App, given: URLSearchParams, into: HTMLElement, signal: AbortSignal): Promise<void> {
  const { path, body } = request(given);
  replace(into, notice("busy", "Searching…"));
  try {
    const begun = performance.now();
    const answer = await app.api.post<Results>(path, body, signal);
    const took = performance.now() - begun;
    replace(into);
    if (answer.results.length === 0) {
      put(into, notice("empty", "Nothing was found", h("p", {}, "Try fewer or other words, or leave out the label.")));
    }
    const told = h("p", { class: "told", role: "status" }, `${count(answer.results.length)} found in ${took.toFixed(0)} ms`,
      answer.pending > 0 && `; ${count(answer.pending)} matching nodes have no vector yet`);
    const list = h("ol", { class: "hits", onkeydown: walk });
    if (answer.results.length > 0) put(into, told);
    put(into, answer.plan && plan(answer.plan), list);
    const top = largest(answer.results);
    let shown = 0;
    const add = (results: Result[]) => list.append(...results.map((it) => hit(app, it, ++shown, top)));
    add(answer.results);
    if (answer.cursor !== null && answer.results.length === body["limit"]) more(app, path, body, answer.cursor, into, add, signal);
    for (const item of list.children) item.classList.toggle("selected", (item as HTMLElement).dataset["id"] === app.opened());
  } catch (error) {
    replace(into, failure(app, error, () => void ask(app, given, into, signal)));
  }
}

function more(
  app: App, path: string, body: Record<string, unknown>, cursor: string, into: HTMLElement,
  add: (results: Result[]) => void, signal: AbortSignal,
): void {
  const next = async () => {
    button.disabled = true;
    try {
      const answer = await app.api.post<Results>(path, { ...body, after: cursor }, signal);
      button.remove();
      add(answer.results);
      if (answer.cursor !== null && answer.results.length === body["limit"]) more(app, path, body, answer.cursor, into, add, signal);
    } catch (error) {
      button.replaceWith(failure(app, error) ?? "");
    }
  };
  const button = h("button", { class: "more", onclick: () => void next() }, "More");
  into.append(button);
}

/** Arrow keys lead from hit to hit. */
function walk(event: KeyboardEvent): void {
  const steps: Record<string, "nextElementSibling" | "previousElementSibling"> = {
    ArrowDown: "nextElementSibling", j: "nextElementSibling", ArrowUp: "previousElementSibling", k: "previousElementSibling",
  };
  const step = steps[event.key];
  const item = (event.target as HTMLElement).closest("li");
  const next = step && item?.[step]?.querySelector<HTMLElement>("button.open");
  if (next) {
    event.preventDefault();
    next.focus();
  }
}

/** The most that any leg gave to one of them: bars are as long as their part of it. */
function largest(results: Result[]): number {
  return Math.max(0.000001, ...results.flatMap((it) => Object.values(it.shares).map((share) => share ?? 0)));
}

function hit(app: App, result: Result, place: number, top: number): HTMLElement {
  const { node } = result;
  const content = text(node, "content") ?? text(node, "text");
  const at = momentOf(node.properties["timestamp"]);
  const sender = text(node, "sender");
  const head = h("div", { class: "head" }, h("span", { class: "place" }, place), labels(node.labels),
    sender && stored(sender, { class: "sender" }), at && h("time", { datetime: at }, moment(at)),
    result.score !== null && h("span", { class: "score", title: "score" }, score(result.score)));
  const body = h("button", { class: "open", onclick: () => app.open(node.id) }, stored(content ? excerpt(content, 400) : title(node)));
  return h("li", { "data-id": node.id }, head, body, legs(result, top));
}

function legs(result: Result, top: number): HTMLElement {
  const line = h("dl", { class: "legs" });
  const raw: Record<string, string | null> = {
    text: result.text_score === null ? null : `BM25 ${score(result.text_score)}`,
    semantic: result.similarity_score === null ? null : `cosine ${score(result.similarity_score)}`,
    graph: result.graph_distance === null ? null : counted(result.graph_distance, "hop"),
    activation: result.activation === null || result.shares["activation"] ? null : score(result.activation),
  };
  for (const name of new Set([...Object.keys(result.shares), ...Object.keys(raw).filter((it) => raw[it] !== null)])) {
    const share = result.shares[name] ?? null;
    const rank = result.ranks[name];
    if (!share && raw[name] === undefined) continue;
    const told = [raw[name], rank !== undefined && `rank ${rank}`].filter(Boolean).join(", ");
    put(line, h("div", {}, h("dt", {}, name.replace("_", " ")), h("dd", {},
      share === null ? null : bar(share / top, { class: `leg-${name}` }),
      share === null ? null : h("b", {}, score(share)), told && h("span", { class: "raw" }, told))));
  }
  return line;
}

/** How the query was carried out. */
function plan(steps: Step[]): HTMLElement {
  const row = (step: Step) => h("tr", {}, h("th", { scope: "row" }, step.step), h("td", {}, stored(step.detail ?? "")),
    h("td", {}, step.access ?? ""), h("td", { class: "number" }, step.estimate === null ? "" : count(step.estimate)),
    h("td", { class: "number" }, step.rows === null ? "" : count(step.rows)),
    h("td", { class: "number" }, step.micros === null ? "" : `${(step.micros / 1000).toFixed(2)} ms`));
  const heads = ["step", "what", "access", "estimate", "rows", "time"].map((it, at) => h("th", { scope: "col", class: at > 2 ? "number" : "" }, it));
  const table = h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...steps.map(row)));
  return h("details", { class: "plan" }, h("summary", {}, "Plan"), h("div", { class: "wide" }, table));
}

async function welcome(app: App, into: HTMLElement, signal: AbortSignal): Promise<void> {
  try {
    const stats = await app.api.get<Record<string, number>>("/v1/stats", {}, signal);
    if (stats["nodes"] === 0) {
      replace(into, notice("empty", "Nothing is stored here yet",
        h("p", {}, "Store a message from Python, and it appears: ", h("code", {}, 'db.create_message("trip", "Ann met Bob in Paris")'))));
      return;
    }
    const card = (name: string, value: number, go?: () => void) => h(go ? "button" : "div", go ? { class: "card", onclick: go } : { class: "card" },
      h("b", {}, count(value)), h("span", {}, name));
    replace(into, h("div", { class: "cards" }, card("nodes", stats["nodes"] ?? 0), card("edges", stats["edges"] ?? 0),
      card("embeddings", stats["embeddings"] ?? 0)),
      h("p", { class: "hint" }, "Search, or look at the ", h("a", { href: "#chats" }, "chats"), ", at the ", h("a", { href: "#map" }, "map"),
        " of all that is embedded, and at what the ", h("a", { href: "#weaver" }, "weaver"), " does. ",
        h("kbd", {}, "?"), " tells the keys."));
  } catch (error) {
    replace(into, failure(app, error, () => void welcome(app, into, signal)));
  }
}
