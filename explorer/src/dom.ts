// The only way in which the page makes elements. Texts become text nodes: there is no way for a
// stored text to become markup.

type Child = Node | string | number | null | undefined | false;
type Handler = (event: never) => void;
type Attributes = Record<string, string | number | boolean | null | undefined | Handler>;

function filled<E extends Element>(element: E, attributes: Attributes, children: Child[]): E {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  put(element, ...children);
  return element;
}

/** An element: `h("button", { class: "quiet", onclick: close }, "Close")`. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for pictures. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Adds children, leaving out what is nothing. */
export function put(element: Element, ...children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Puts children in the place of those that are there. */
export function replace(element: Element, ...children: Child[]): void {
  element.replaceChildren();
  put(element, ...children);
}

/** A stored text: its direction of writing is its own. */
export function stored(text: string, attributes: Attributes = {}): HTMLElement {
  return h("bdi", attributes, text);
}

/** A bar of which a share is filled, from 0 to 1. */
export function bar(share: number, attributes: Attributes = {}): HTMLElement {
  const filling = h("span");
  filling.style.width = `${Math.max(0, Math.min(1, share)) * 100}%`;
  return h("span", { ...attributes, class: `bar ${attributes["class"] ?? ""}`, "aria-hidden": "true" }, filling);
}

/** What is shown while there is nothing, or when something went wrong. */
export function notice(kind: "empty" | "error" | "busy", title: string, ...more: Child[]): HTMLElement {
  const role = kind === "error" ? "alert" : "status";
  return h("div", { class: `notice ${kind}`, role }, h("p", { class: "title" }, title), ...more);
}
