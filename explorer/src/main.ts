// The page as a whole: what the address names is shown. `#graph?id=ann&node=bob` is the graph around
// ann, and bob beside it.

import "./style.css";

import { Api, ApiError, kept, type Access } from "./api";
import { failure, type App, type View, type ViewName } from "./app";
import { makeChats } from "./chats";
import { h, notice, put, replace } from "./dom";
import { makeGraph } from "./graph";
import { makeMap } from "./map";
import { create, makePanel } from "./panel";
import { makeSearch } from "./search";
import { makeWeaver } from "./weaver";

const VIEWS: Record<ViewName, { title: string; make: (app: App, given: URLSearchParams) => View }> = {
  search: { title: "Search", make: makeSearch },
  graph: { title: "Graph", make: makeGraph },
  chats: { title: "Chats", make: makeChats },
  map: { title: "Map", make: makeMap },
  weaver: { title: "Weaver", make: makeWeaver },
};
const ORDER = Object.keys(VIEWS) as ViewName[];

interface Held {
  view: View;
  /** The parameters that it was made with. */
  key: string;
}

class Page implements App {
  readonly api = new Api();
  private readonly views = new Map<ViewName, Held>();
  private readonly panel = makePanel(this);
  private readonly tabs = h("nav", { class: "tabs", "aria-label": "Views" });
  private readonly stage = h("div", { class: "stage" });
  private readonly space = h("select", { "aria-label": "Namespace", title: "Namespace" });
  private readonly key = h("button", { class: "quiet key", onclick: () => this.askToken() });
  private readonly add = h("button", { class: "quiet", onclick: () => create(this, this.panel.element) }, "New node");
  private current: ViewName = "search";
  private node: string | null = null;

  constructor(root: HTMLElement) {
    const theme = h("button", { class: "quiet", title: "Light or dark", "aria-label": "Light or dark", onclick: turn }, "◐");
    const header = h("header", { class: "top" }, h("a", { class: "brand", href: "#search" }, h("img", { src: "/explorer/icon.svg", alt: "", width: 20, height: 20 }), "Explorer"),
      this.tabs, h("div", { class: "tools" }, this.add, this.space, this.key, theme,
        h("button", { class: "quiet", title: "Keys (?)", "aria-label": "Keys", onclick: keys }, "?")));
    replace(root, header, h("div", { class: "body" }, this.stage, this.panel.element));
    this.space.addEventListener("change", () => {
      this.api.namespace = this.space.value;
      this.forget();
      this.node = null;
      this.go(this.current);
    });
    window.addEventListener("hashchange", () => this.route());
    document.addEventListener("keydown", (event) => this.press(event));
    void this.begin();
  }

  /** Learns what the token may do, and shows what the address names. */
  async begin(): Promise<void> {
    const { view, given } = address();
    const named = given.get("ns");
    if (named) this.api.namespace = named;
    try {
      this.api.access = await this.api.call<Access>("GET", "/v1/access", { whole: true });
      await this.spaces();
    } catch (error) {
      this.api.access = { scope: "read", namespaces: null };
      this.tell();
      this.forget();
      replace(this.stage, h("main", { class: "page" }, failure(this, error, () => void this.begin())));
      if (error instanceof ApiError && error.status === 401) this.askToken();
      return;
    }
    this.tell();
    this.forget();
    if (named && named !== this.api.namespace) {
      // There is none of this name, or it is not for this token.
      given.delete("ns");
      history.replaceState(null, "", `#${view}?${given}`);
    }
    this.node = null; // what is beside the view is shown anew, too
    this.route();
  }

  private async spaces(): Promise<void> {
    const { namespaces } = this.api.access;
    const names = namespaces ?? (await this.api.call<{ namespaces: string[] }>("GET", "/v1/namespaces", { whole: true })).namespaces;
    if (!names.includes(this.api.namespace)) this.api.namespace = names.includes("default") ? "default" : (names[0] ?? "default");
    replace(this.space, ...names.map((name) => h("option", { selected: name === this.api.namespace }, name)));
    this.space.hidden = names.length < 2;
  }

  private tell(): void {
    const may = this.api.writes ? "may write" : "read only";
    this.key.textContent = this.api.token === "" ? (this.api.writes ? "No token needed" : "Token…") : `Token: ${may}`;
    this.add.hidden = !this.api.writes;
  }

  private forget(): void {
    for (const { view } of this.views.values()) view.close();
    this.views.clear();
    replace(this.stage);
  }

  go(view: ViewName, parameters: Record<string, string> = {}): void {
    const given = new URLSearchParams(parameters);
    // A graph that is begun shows the node that it begins with.
    const begun = this.views.get("graph")?.key === given.toString();
    if (this.node !== null && (view !== "graph" || begun)) given.set("node", this.node);
    this.move(view, given);
  }

  private move(view: ViewName, given: URLSearchParams): void {
    if (this.api.namespace !== "default") given.set("ns", this.api.namespace);
    else given.delete("ns");
    const to = `#${view}${given.size > 0 ? `?${given}` : ""}`;
    if (location.hash === to) this.views.get(view)?.view.again?.();
    else location.hash = to;
    this.route(); // it is told of the new address only later, and then nothing is left to do
  }

  open(id: string | null): void {
    const { view, given } = address();
    if (id === null) given.delete("node");
    else given.set("node", id);
    if (id === null) this.panel.show(null);
    // Going back leads to the view before, not through every node that was looked at.
    if (this.api.namespace !== "default") given.set("ns", this.api.namespace);
    history.replaceState(null, "", `#${view}${given.size > 0 ? `?${given}` : ""}`);
    this.route();
  }

  opened(): string | null {
    return this.node;
  }

  changed(id: string): void {
    for (const { view } of this.views.values()) view.changed?.(id);
  }

  private route(): void {
    const { view, given } = address();
    const named = given.get("ns");
    if (named && named !== this.api.namespace) {
      void this.begin();
      return;
    }
    const node = given.get("node");
    given.delete("node");
    given.delete("ns");
    const key = given.toString();
    const held = this.views.get(view);
    if (view !== this.current) this.views.get(this.current)?.view.hide?.();
    const before = this.node;
    [this.current, this.node] = [view, node];
    if (held?.key !== key || !this.stage.contains(held.view.element)) {
      held?.view.close();
      held?.view.element.remove();
      const made = VIEWS[view].make(this, given);
      this.views.set(view, { view: made, key });
      this.stage.append(made.element);
    } else if (held.view.element.hidden) held.view.show?.();
    for (const [name, it] of this.views) it.view.element.hidden = name !== view;
    this.views.get(view)?.view.select?.(node);
    if (node !== before || (node !== null && this.panel.element.hidden)) this.panel.show(node);
    this.mark(view);
  }

  private mark(view: ViewName): void {
    document.title = `${VIEWS[view].title} – embedded-db Explorer`;
    const tab = (name: ViewName, at: number) => {
      const key = this.views.get(name)?.key;
      const link = h("a", { href: `#${name}${key ? `?${key}` : ""}`, title: `${VIEWS[name].title} (${at + 1})`, "aria-current": name === view && "page",
        onclick: (event: MouseEvent) => {
          event.preventDefault();
          this.go(name, Object.fromEntries(new URLSearchParams(key)));
        } }, VIEWS[name].title);
      return link;
    };
    replace(this.tabs, ...ORDER.map(tab));
  }

  askToken(why?: string): void {
    const field = h("input", { type: "password", name: "token", autocomplete: "off", "aria-label": "Token", required: true, autofocus: true });
    const dialog = h("dialog", { onclose: () => dialog.remove() });
    const use = (token: string) => {
      this.api.token = token;
      dialog.close();
      void this.begin();
    };
    const submit = (event: SubmitEvent) => {
      event.preventDefault();
      use(field.value.trim());
    };
    put(dialog, h("form", { onsubmit: submit }, h("h2", {}, "Token"), why !== undefined && h("p", {}, why),
      h("p", {}, "One of the server's tokens. It is kept until this tab is closed, and sent to this server only."), field,
      h("div", { class: "actions" }, h("button", { class: "main" }, "Use it"),
        this.api.token !== "" && h("button", { type: "button", onclick: () => use("") }, "Forget it"),
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
    document.querySelector("dialog")?.remove();
    document.body.append(dialog);
    dialog.showModal();
  }

  private press(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog")) return;
    const typing = target.matches("input:not([type=checkbox]):not([type=radio]), textarea, select");
    if (event.key === "Escape" && typing) {
      target.blur();
      return;
    }
    if (event.key === "Escape" && !this.panel.element.hidden) {
      this.open(null);
      this.stage.querySelector<HTMLElement>(".selected button.open, .canvas")?.focus();
      return;
    }
    if (typing) return;
    const at = Number(event.key) - 1;
    const view = ORDER[at];
    if (event.key === "/") this.search();
    else if (event.key === "?") keys();
    else if (view) this.tabs.querySelectorAll("a")[at]?.click();
    else return;
    event.preventDefault();
  }

  private search(): void {
    if (this.current !== "search") this.tabs.querySelector("a")?.click();
    this.stage.querySelector<HTMLInputElement>("#q")?.select();
  }
}

function address(): { view: ViewName; given: URLSearchParams } {
  const [name = "", query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const view = ORDER.find((it) => it === name) ?? "search";
  return { view, given: new URLSearchParams(query) };
}

const THEME = "embedded-db-theme";

function turn(): void {
  const dark = document.documentElement.dataset["theme"] ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const next = dark === "dark" ? "light" : "dark";
  document.documentElement.dataset["theme"] = next;
  kept(() => localStorage.setItem(THEME, next));
}

function keys(): void {
  const dialog = h("dialog", { onclose: () => dialog.remove() });
  const key = (name: string, what: string) => [h("dt", {}, h("kbd", {}, name)), h("dd", {}, what)];
  put(dialog, h("h2", {}, "Keys"), h("dl", { class: "properties" }, ...key("/", "search"), ...key("1 – 5", "the views"), ...key("↑ ↓", "from hit to hit"),
    ...key("Enter", "look at it"), ...key("Esc", "leave a field; close what is beside the view"), ...key("arrows + − 0", "move and zoom a graph or map"), ...key("?", "this list")),
    h("p", { class: "hint" }, "The addresses of views can be kept. ", h("a", { href: "/explorer/licences.md" }, "Licences"), " of what the page is made with."),
    h("form", { method: "dialog" }, h("button", { class: "main", autofocus: true }, "Close")));
  document.body.append(dialog);
  dialog.showModal();
}

const theme = kept(() => localStorage.getItem(THEME));
if (theme === "dark" || theme === "light") document.documentElement.dataset["theme"] = theme;
const root = document.getElementById("app");
if (root) {
  replace(root, notice("busy", "Loading…"));
  new Page(root);
}
