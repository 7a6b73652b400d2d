// What the parts of the page know of each other.

import { ApiError, type Api } from "./api";
import { h, notice } from "./dom";

/** One of the five views. It stays, hidden, while another one is looked at. */
export interface View {
  element: HTMLElement;
  /** It was asked for once more, as it is. */
  again?(): void;
  /** It is looked at again. */
  show?(): void;
  /** It is not looked at any more. */
  hide?(): void;
  /** A node was chosen, here or elsewhere. */
  select?(id: string | null): void;
  /** A node was changed, or deleted. */
  changed?(id: string): void;
  /** It is not needed any more. */
  close(): void;
}

export type ViewName = "search" | "graph" | "chats" | "map" | "weaver";

export interface App {
  api: Api;
  /** Shows a view. */
  go(view: ViewName, parameters?: Record<string, string>): void;
  /** Shows a node beside the view. */
  open(id: string | null): void;
  /** The node that is shown. */
  opened(): string | null;
  /** Tells the views that a node was changed or deleted. */
  changed(id: string): void;
  /** Asks for a token. */
  askToken(why?: string): void;
}

/** What is told when something fails; nothing when the view has gone meanwhile. */
export function failure(app: App, error: unknown, retry?: () => void): HTMLElement | null {
  if (error instanceof DOMException && error.name === "AbortError") return null;
  const told = error instanceof ApiError ? error : new ApiError(0, "Error", String(error));
  const buttons = [];
  if (told.status === 401 || told.status === 403) {
    const label = told.status === 401 ? "Enter a token" : "Use another token";
    buttons.push(h("button", { onclick: () => app.askToken() }, label));
  } else if (retry) {
    buttons.push(h("button", { onclick: retry }, "Try again"));
  }
  return notice("error", told.status === 401 ? "This server asks for a token" : told.code, h("p", {}, told.message), ...buttons);
}
