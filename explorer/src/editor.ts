// The editor of a node. Only what was changed is sent, and only if nobody else has changed it meanwhile.

import { ApiError } from "./api";
import { failure, type App } from "./app";
import { h, notice, put, replace } from "./dom";
import { exact, stringify, type StoredNode, type Value } from "./values";

interface Row {
  name: string;
  kind: "text" | "JSON";
  value: string;
}

/** What a row of the editor says; a text as it is, all else as JSON. */
export function written(row: Row): Value {
  if (row.kind === "text") return row.value;
  try {
    return exact(row.value);
  } catch {
    throw new SyntaxError(`${row.name}: this is not JSON; choose “text” for a plain text`);
  }
}

/** How a value is shown for editing. */
export function editable(name: string, value: Value): Row {
  return typeof value === "string" ? { name, kind: "text", value } : { name, kind: "JSON", value: stringify(value, 1) };
}

/** What has to be sent so that properties become what the rows say. */
export function difference(before: Record<string, Value>, rows: Row[]): { set: Record<string, Value>; remove: string[] } {
  const set: Record<string, Value> = Object.create(null) as Record<string, Value>;
  const names = new Set<string>();
  for (const row of rows) {
    if (row.name === "") throw new SyntaxError("A property has no name");
    if (names.has(row.name)) throw new SyntaxError(`${row.name}: it stands there twice`);
    names.add(row.name);
    const value = written(row);
    if (!Object.hasOwn(before, row.name) || stringify(before[row.name]) !== stringify(value)) set[row.name] = value;
  }
  return { set, remove: Object.keys(before).filter((name) => !names.has(name)) };
}

export function editor(app: App, node: StoredNode | null, saved: (id: string) => void, left: () => void): HTMLElement {
  const rows = h("div", { class: "rows" });
  const lines: Line[] = [];
  const append = (row: Row): Line => {
    const made = line(row, () => lines.splice(lines.indexOf(made), 1));
    lines.push(made);
    rows.append(made.element);
    return made;
  };
  const problem = h("div");
  const label = h("input", { name: "labels", "aria-label": "Labels, with commas between them", placeholder: "Person, Friend", required: true });
  const known: Record<string, Value> = node?.properties ?? {};
  for (const [name, value] of Object.entries(known)) append(editable(name, value));
  if (node === null) append({ name: "name", kind: "text", value: "" });

  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    replace(problem);
    let sent;
    try {
      sent = difference(known, lines.map((it) => it.read()));
    } catch (error) {
      replace(problem, notice("error", "Not saved", h("p", {}, (error as Error).message)));
      return;
    }
    button.disabled = true;
    try {
      if (node !== null) {
        await app.api.call("PATCH", `/v1/nodes/${encodeURIComponent(node.id)}`, { body: { ...sent, version: node.version } });
        saved(node.id);
      } else {
        const labels = label.value.split(",").map((it) => it.trim()).filter((it) => it !== "");
        const made = await app.api.post<{ id: string }>("/v1/nodes", { labels, properties: sent.set });
        saved(made.id);
      }
    } catch (error) {
      replace(problem, failure(app, error));
      // What was typed is lost then, and so it is asked for.
      if (error instanceof ApiError && error.code === "Conflict") put(problem, h("button", { type: "button", onclick: left }, "Read it anew"));
    } finally {
      button.disabled = false;
    }
  };
  const add = () => append({ name: "", kind: "text", value: "" }).element.querySelector("input")?.focus();
  const button = h("button", { class: "main" }, node === null ? "Create" : "Save");
  const form = h("form", { class: "editor", onsubmit: (event: SubmitEvent) => void save(event) });
  put(form, node === null && h("label", { class: "labels-field" }, "Labels", label), rows,
    h("button", { type: "button", class: "quiet", onclick: add }, "Add a property"), problem,
    h("div", { class: "actions" }, button, h("button", { type: "button", onclick: left }, "Cancel")));
  return form;
}

interface Line {
  element: HTMLElement;
  read(): Row;
}

function line(row: Row, removed: () => void): Line {
  const name = h("input", { class: "name", "aria-label": "Name of the property", value: row.name, placeholder: "name" });
  const kind = h("select", { "aria-label": "Kind of the value" }, ...["text", "JSON"].map((it) => h("option", { selected: it === row.kind }, it)));
  const value = h("textarea", { "aria-label": `Value of ${row.name || "the property"}`, rows: Math.min(8, 1 + Math.floor(row.value.length / 40)), spellcheck: "false", dir: "auto" });
  value.value = row.value;
  // A field has ends of lines of its own: what nobody has touched stays what it was.
  const [shownName, shownValue] = [name.value, value.value];
  const remove = () => {
    element.remove();
    removed();
  };
  const element = h("div", { class: "row" }, name, kind,
    h("button", { type: "button", class: "close", "aria-label": `Remove ${row.name || "the property"}`, onclick: remove }, "×"), value);
  const read = (): Row => ({
    name: name.value === shownName ? row.name : name.value.trim(),
    kind: kind.value === "JSON" ? "JSON" : "text",
    value: value.value === shownValue ? row.value : value.value,
  });
  return { element, read };
}
