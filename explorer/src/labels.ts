// Labels of nodes, each in its colour.

import { h } from "./dom";
import { colour, excerpt } from "./values";

export function labels(names: string[]): HTMLElement {
  return h("span", { class: "labels" }, ...names.map((name) => h("bdi", { class: `label colour-${colour(name)}` }, excerpt(name, 40))));
}
