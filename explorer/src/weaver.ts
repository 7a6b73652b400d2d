// What the weaver does and what is stored, as it happens.

import type { Counts, WeaverStatus } from "./api";
import { failure, type App, type View } from "./app";
import { bar, h, notice, replace, stored, svg } from "./dom";
import { count } from "./values";

interface Change {
  lsn: number;
  kind: string;
  operation: string;
  id: string;
  labels: string[];
  type: string | null;
}

const KEPT = 60;
const LONGEST_WAIT = 15_000;

/** How long to wait before the next try. */
export const pause = (tries: number): number => Math.min(LONGEST_WAIT, 500 * 2 ** tries);

/** Texts of a WebSocket, which is made anew when it breaks off. */
function follow(make: () => WebSocket, hear: (text: string) => void, tell: (state: string, live: boolean) => void): () => void {
  let socket: WebSocket | null = null;
  let [timer, tries, ended] = [0, 0, false];
  const connect = () => {
    tell(tries === 0 ? "connecting…" : "connecting again…", false);
    socket = make();
    socket.onopen = () => {
      tries = 0;
      tell("live", true);
    };
    socket.onmessage = (event) => hear(String(event.data));
    socket.onclose = () => {
      if (ended) return;
      tell("not connected; trying again", false);
      timer = window.setTimeout(connect, pause(tries++));
    };
  };
  connect();
  return () => {
    ended = true;
    window.clearTimeout(timer);
    socket?.close();
  };
}

export function makeWeaver(app: App): View {
  const state = h("span", { class: "state", role: "status" });
  const figures = h("div", { class: "cards" });
  const curve = svg("svg", { class: "curve", viewBox: `0 0 ${KEPT} 20`, preserveAspectRatio: "none", role: "img", "aria-label": "Length of the queue" });
  const jobs = h("div", { class: "wide" }, notice("busy", "Waiting for the weaver…"));
  const feed = h("ol", { class: "feed", "aria-label": "Latest changes" });
  const none = notice("empty", "Nothing has changed since you began to look");
  const element = h("main", { class: "weaver" }, h("header", {}, h("h2", {}, "Weaver"), state), figures,
    h("figure", {}, h("figcaption", {}, "in the queue, over the latest texts"), curve), jobs,
    h("h2", {}, "Latest changes"), none, feed);
  const queue: number[] = [];
  let ends: (() => void)[] = [];

  const told = (status: WeaverStatus) => {
    queue.push(status.queue_size);
    if (queue.length > KEPT) queue.shift();
    replace(figures, ...cards(status));
    replace(curve, line(queue));
    replace(jobs, table(status.per_job));
  };
  const changed = (changes: Change[]) => {
    none.hidden = true;
    for (const change of changes.slice(-KEPT)) feed.prepend(entry(app, change));
    while (feed.children.length > KEPT) feed.lastElementChild?.remove();
  };
  const show = () => {
    if (ends.length > 0) return;
    // It is live when both are.
    const known: { text: string; live: boolean }[] = [];
    const connected = (which: number) => (text: string, live: boolean) => {
      known[which] = { text, live };
      const one = known.find((each) => !each.live) ?? { text, live };
      state.textContent = one.text;
      state.classList.toggle("live", one.live);
    };
    const mine: (() => void)[] = [() => {}];
    ends = mine;
    // It tells what is wrong; a WebSocket that is refused does not.
    app.api.call("GET", "/v1/weaver", { whole: true }).then(
      () => {
        if (ends !== mine) return; // it was left meanwhile
        ends.push(follow(() => app.api.socket("/v1/weaver/stream", {}, false), (text) => told(JSON.parse(text) as WeaverStatus), connected(0)));
        ends.push(follow(() => app.api.socket("/v1/changes/stream", {}, true),
          (text) => changed((JSON.parse(text) as { changes: Change[] }).changes), connected(1)));
      },
      (error: unknown) => {
        if (ends !== mine) return;
        hide();
        replace(jobs, failure(app, error, show));
      },
    );
  };
  const hide = () => {
    for (const end of ends) end();
    ends = [];
  };
  show();
  return { element, show, hide, close: hide };
}

function cards(status: WeaverStatus): HTMLElement[] {
  const card = (name: string, value: string) => h("div", { class: "card" }, h("b", {}, value), h("span", {}, name));
  const out = [
    card("activity", status.paused ? "paused" : status.activity_level),
    card("workers", count(status.active_workers)),
    card("in the queue", count(status.queue_size)),
    card("behind", `${status.lag_seconds.toFixed(1)} s`),
    card("a second", status.throughput.toFixed(1)),
    card("last event", status.last_event),
  ];
  const again = status.reembedding;
  if (again) out.push(card(`embedded anew, ${again.from} to ${again.space}`, `${count(again.done)} of ${count(again.total)}`));
  return out;
}

function line(queue: number[]): SVGElement {
  const most = Math.max(1, ...queue);
  const points = queue.map((size, at) => `${KEPT - queue.length + at},${19 - (size / most) * 18}`);
  return svg("polyline", { points: points.join(" "), "vector-effect": "non-scaling-stroke" });
}

function table(jobs: Record<string, Counts>): HTMLElement {
  const names = ["job", "", "pending", "running", "done", "failed", "given up"];
  const heads = names.map((it, at) => h("th", { scope: "col", class: at > 1 ? "number" : "" }, it));
  const row = ([name, of]: [string, Counts]) => {
    const all = of.pending + of.running + of.done + of.failed + of.dead;
    const number = (value: number, bad = false) => h("td", { class: bad && value > 0 ? "number bad" : "number" }, count(value));
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", { class: "progress" }, all > 0 && bar(of.done / all)),
      number(of.pending), number(of.running), number(of.done), number(of.failed, true), number(of.dead, true));
  };
  return h("table", {}, h("thead", {}, h("tr", {}, ...heads)), h("tbody", {}, ...Object.entries(jobs).map(row)));
}

function entry(app: App, change: Change): HTMLElement {
  const what = change.operation === "delete" ? `${change.kind} deleted` : `${change.kind} stored`;
  const node = change.kind === "node" && change.operation !== "delete";
  const name = stored(change.id);
  return h("li", {}, h("span", { class: "lsn" }, `#${change.lsn}`), what, stored([...change.labels, change.type ?? ""].join(" ").trim(), { class: "topic" }),
    node ? h("button", { class: "link", onclick: () => app.open(change.id) }, name) : name);
}
