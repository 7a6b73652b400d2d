// Values as the server writes them, for people to read. docs/server.md tells of `$time` and the others.

export type Value = null | boolean | number | string | Value[] | { [name: string]: Value };

export interface StoredNode {
  id: string;
  labels: string[];
  properties: Record<string, Value>;
  created_at: string;
  updated_at: string;
  expires_at: string | null;
  version: number;
  derived: boolean;
}

type Sourced = { source?: string } | undefined;

/** JSON in which every number stays as it is written: 1.0 and 2^63 have no number of their own in JavaScript. */
export function exact(text: string): Value {
  const raw = (JSON as unknown as { rawJSON?(text: string): unknown }).rawJSON;
  const revive = (_: string, value: unknown, context?: Sourced): unknown => {
    const source = context?.source;
    return raw && typeof value === "number" && source !== undefined && String(value) !== source ? raw(source) : value;
  };
  return JSON.parse(text, revive as (this: unknown, key: string, value: unknown) => unknown) as Value;
}

/** An answer of the server. What users have stored is exact in it, and its other numbers are numbers. */
export function parse(text: string): unknown {
  const answer = JSON.parse(text) as Value;
  return text.includes('"properties"') ? merged(answer, exact(text)) : answer;
}

function merged(plain: Value, stored: Value): Value {
  if (plain === null || typeof plain !== "object") return plain;
  if (Array.isArray(plain)) return plain.map((item, at) => merged(item, (stored as Value[])[at]!));
  const inner = stored as Record<string, Value>;
  const entries = Object.entries(plain).map(([name, value]) => [name, name === "properties" ? inner[name]! : merged(value, inner[name]!)]);
  return Object.fromEntries(entries) as Value;
}

/** The text that `exact` reads. */
export const stringify = (value: unknown, indent?: number): string => JSON.stringify(value, null, indent);

function single(value: Value): [string, Value] | null {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return null;
  const entries = Object.entries(value);
  return entries.length === 1 ? entries[0]! : null;
}

const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const days = new Intl.DateTimeFormat(undefined, { dateStyle: "full" });
const hours = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

function formatted(iso: string, format: Intl.DateTimeFormat): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? iso : format.format(at);
}

/** A moment, as people write it where the reader is. */
export const moment = (iso: string): string => formatted(iso, moments);
export const day = (iso: string): string => formatted(iso, days);
export const hour = (iso: string): string => formatted(iso, hours);

/** The moment that a value is. */
export function momentOf(value: Value | undefined): string | null {
  const [name, inner] = (value === undefined ? null : single(value)) ?? [];
  return name === "$time" && typeof inner === "string" ? inner : null;
}

/** A value in words. */
export function shown(value: Value): string {
  if (typeof value === "string") return value;
  const [name, inner] = single(value) ?? [];
  if (name === "$time" && typeof inner === "string") return moment(inner);
  if (name === "$float" && typeof inner === "string") return inner;
  if (name === "$bytes" && typeof inner === "string") {
    const length = Math.floor((inner.replace(/=+$/, "").length * 3) / 4);
    return `${length} bytes`;
  }
  return stringify(value, 1);
}

/** The beginning of a text, on one line, without what controls terminals and lines. */
export function excerpt(text: string, most: number): string {
  const line = text.slice(0, most * 4).replace(/[\p{Cc}\p{Cf}\s]+/gu, " ").trim();
  const signs = Array.from(line);
  return signs.length <= most ? line : `${signs.slice(0, most - 1).join("")}…`;
}

const NAMES = ["title", "name", "label", "content", "text", "topic"];

/** What a node is called: a name or the beginning of its text, or else its id. */
export function title(node: StoredNode, most = 80): string {
  for (const name of NAMES) {
    const value = node.properties[name];
    const text = typeof value === "string" ? excerpt(value, most) : "";
    if (text !== "") return text;
  }
  return excerpt(node.id, most) || "(no name)";
}

/** A property that is a text. */
export function text(node: StoredNode, name: string): string | null {
  const value = node.properties[name];
  return typeof value === "string" && value !== "" ? value : null;
}

const figures = new Intl.NumberFormat();

/** A number with its thousands apart. */
export const count = (value: number): string => figures.format(value);

/** So many of something. */
export const counted = (value: number, name: string): string => `${count(value)} ${name}${value === 1 ? "" : "s"}`;

/** A score with as many digits as say something. */
export const score = (value: number): string => (Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(3));

/** One of eight colours for a name, always the same one. */
export function colour(name: string): number {
  let hash = 7;
  for (const sign of name) hash = (Math.imul(hash, 31) + sign.codePointAt(0)!) >>> 0;
  return hash % 8;
}
