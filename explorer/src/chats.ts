// Chats, and the timeline of one of them.

import { failure, type App, type View } from "./app";
import { h, notice, put, replace, stored } from "./dom";
import { day, hour, moment, momentOf, shown, text, title, type StoredNode } from "./values";

const PAGE = 100;

interface Pages {
  into: HTMLElement;
  load(after: string | null): Promise<{ items: StoredNode[]; next: string | null }>;
  show(items: StoredNode[]): void;
  empty: string;
}

/** Pages one behind the other, each when it is asked for. */
async function page(app: App, pages: Pages, after: string | null = null): Promise<void> {
  const busy = notice("busy", "Reading…");
  pages.into.append(busy);
  try {
    const { items, next } = await pages.load(after);
    busy.remove();
    if (items.length === 0 && after === null) put(pages.into, notice("empty", pages.empty));
    pages.show(items);
    if (next === null) return;
    const button = h("button", {
      class: "more",
      onclick: () => {
        button.remove();
        void page(app, pages, next);
      },
    }, "More");
    pages.into.append(button);
  } catch (error) {
    busy.replaceWith(failure(app, error, () => {
      replace(pages.into);
      void page(app, pages);
    }) ?? "");
  }
}

export function makeChats(app: App, given: URLSearchParams): View {
  const gone = new AbortController();
  const id = given.get("id");
  const newest = given.get("order") === "newest";
  const list = h("nav", { class: "chats", "aria-label": "Chats" });
  const line = h("section", { class: "timeline", "aria-label": "Timeline" });
  const element = h("main", { class: "split" }, list, line);

  void page(app, {
    into: list,
    empty: "There are no chats",
    load: async (after) => {
      const query = { label: "Chat", limit: PAGE, after };
      const answer = await app.api.get<{ nodes: StoredNode[]; next: string | null }>("/v1/nodes", query, gone.signal);
      return { items: answer.nodes, next: answer.next };
    },
    show: (chats) => {
      for (const chat of chats) {
        const topic = text(chat, "topic");
        list.append(h("a", { href: `#chats?${new URLSearchParams({ id: chat.id })}`, "aria-current": chat.id === id && "page",
          onclick: (event: MouseEvent) => {
            event.preventDefault();
            app.go("chats", { id: chat.id });
          } },
          stored(title(chat, 60)), topic && topic !== title(chat, 60) && stored(topic, { class: "topic" })));
      }
    },
  });

  const select = (chosen: string | null) => {
    for (const item of line.querySelectorAll<HTMLElement>("[data-id]")) {
      item.classList.toggle("selected", item.dataset["id"] === chosen);
    }
  };
  const days = new Map<string, HTMLElement>();
  const show = (messages: StoredNode[]) => {
    for (const message of messages) {
      const at = momentOf(message.properties["timestamp"]) ?? message.created_at;
      const name = day(at);
      let section = days.get(name);
      if (!section) {
        section = h("section", { class: "day" }, h("h3", {}, name));
        days.set(name, section);
        line.append(section);
      }
      section.append(bubble(app, message, at));
    }
    select(app.opened());
  };
  if (id === null) {
    put(line, notice("empty", "Choose a chat", h("p", {}, "Its messages are shown in the order in which they were said.")));
  } else {
    void head(app, line, id, newest, gone.signal).then(() => page(app, {
      into: line,
      empty: "This chat has no messages",
      load: async (after) => {
        const query = { limit: PAGE, after, newest_first: newest };
        const path = `/v1/chats/${encodeURIComponent(id)}/messages`;
        const answer = await app.api.get<{ messages: StoredNode[]; next: string | null }>(path, query, gone.signal);
        return { items: answer.messages, next: answer.next };
      },
      show,
    }));
  }
  return { element, select, close: () => gone.abort() };
}

async function head(app: App, into: HTMLElement, id: string, newest: boolean, signal: AbortSignal): Promise<void> {
  let name = id;
  try {
    name = title(await app.api.node(id, signal));
  } catch {
    // The messages say what is wrong.
  }
  const turn = h("button", { class: "quiet", onclick: () => app.go("chats", newest ? { id } : { id, order: "newest" }) },
    newest ? "Oldest first" : "Newest first");
  const about = h("button", { class: "quiet", onclick: () => app.open(id) }, "About this chat");
  put(into, h("header", {}, h("h2", {}, stored(name)), about, turn));
}

function bubble(app: App, message: StoredNode, at: string): HTMLElement {
  const role = text(message, "role") ?? "user";
  const content = message.properties["content"];
  return h("article", { class: `bubble role-${role === "user" ? "user" : "other"}`, "data-id": message.id },
    h("header", {}, stored(text(message, "sender") ?? role, { class: "sender" }),
      h("time", { datetime: at, title: moment(at) }, hour(at))),
    h("button", { class: "open", onclick: () => app.open(message.id) }, stored(content === undefined ? "" : shown(content))));
}
