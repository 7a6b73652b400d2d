// Requests to the server that the page came from.

import { parse, stringify, type StoredNode, type Value } from "./values";

export interface StoredEdge {
  id: string;
  source: string;
  target: string;
  type: string;
  properties: Record<string, Value>;
  weight: number | null;
  valid_from: string | null;
  valid_to: string | null;
  derived: boolean;
}

export interface Result {
  node: StoredNode;
  score: number | null;
  similarity_score: number | null;
  text_score: number | null;
  graph_distance: number | null;
  activation: number | null;
  ranks: Record<string, number>;
  shares: Record<string, number | null>;
}

export interface Step {
  step: string;
  detail: string | null;
  access: string | null;
  estimate: number | null;
  rows: number | null;
  micros: number | null;
}

export interface Results {
  results: Result[];
  pending: number;
  cursor: string | null;
  plan: Step[] | null;
}

export interface Counts {
  pending: number;
  running: number;
  done: number;
  failed: number;
  dead: number;
}

export interface WeaverStatus {
  active_workers: number;
  queue_size: number;
  last_event: string;
  activity_level: string;
  per_job: Record<string, Counts>;
  lag_seconds: number;
  paused: boolean;
  throughput: number;
  reembedding: { space: string; from: string; done: number; total: number; failed: number } | null;
}

export interface Access {
  scope: "read" | "write";
  namespaces: string[] | null;
}

export interface TokenPoint {
  id: string;
  labels: string[];
  coordinates: number[];
}

/** What the server says is wrong, or that it says nothing. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

type Query = Record<string, string | number | boolean | null | undefined>;

const TOKEN = "embedded-db-token";

/** What a browser keeps for a page, which some are told not to do. */
export function kept<T>(use: () => T): T | null {
  try {
    return use();
  } catch {
    return null;
  }
}

export class Api {
  namespace = "default";
  access: Access = { scope: "read", namespaces: null };
  // Kept until the tab is closed, and sent to nobody but the server that the page came from.
  private secret = kept(() => sessionStorage.getItem(TOKEN)) ?? "";

  get token(): string {
    return this.secret;
  }

  set token(token: string) {
    this.secret = token;
    kept(() => (token === "" ? sessionStorage.removeItem(TOKEN) : sessionStorage.setItem(TOKEN, token)));
  }

  get writes(): boolean {
    return this.access.scope === "write";
  }

  private address(path: string, query: Query, named: boolean): string {
    const all = named ? { ...query, namespace: this.namespace } : query;
    const given = Object.entries(all).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const search = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    return search.size === 0 ? path : `${path}?${search}`;
  }

  async call<T>(method: string, path: string, given: { query?: Query; body?: unknown; signal?: AbortSignal; whole?: boolean } = {}): Promise<T> {
    const headers: Record<string, string> = {};
    if (this.secret !== "") headers["Authorization"] = `Bearer ${this.secret}`;
    if (given.body !== undefined) headers["Content-Type"] = "application/json";
    const address = this.address(path, given.query ?? {}, given.whole !== true);
    let response: Response;
    try {
      response = await fetch(address, {
        method,
        headers,
        body: given.body === undefined ? null : stringify(given.body),
        signal: given.signal ?? null,
        credentials: "omit",
      });
    } catch (error) {
      if (given.signal?.aborted) throw error;
      throw new ApiError(0, "Unreachable", "The server does not answer. Is it still running?");
    }
    const text = await response.text();
    let data: unknown = null;
    try {
      data = text === "" ? null : parse(text);
    } catch {
      throw new ApiError(response.status, "NoJson", "The server's answer is not JSON.");
    }
    if (!response.ok) {
      const told = (data ?? {}) as { code?: string; message?: string };
      throw new ApiError(response.status, told.code ?? "Error", told.message ?? `The server answered ${response.status}.`);
    }
    return data as T;
  }

  get<T>(path: string, query: Query = {}, signal?: AbortSignal): Promise<T> {
    return this.call("GET", path, signal ? { query, signal } : { query });
  }

  post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
    return this.call("POST", path, signal ? { body, signal } : { body });
  }

  node(id: string, signal?: AbortSignal): Promise<StoredNode> {
    return this.get(`/v1/nodes/${encodeURIComponent(id)}`, {}, signal);
  }

  /** The nodes of these ids that are there. */
  async nodes(ids: string[], signal?: AbortSignal): Promise<Map<string, StoredNode>> {
    const found = new Map<string, StoredNode>();
    if (ids.length === 0) return found;
    const answer = await this.post<{ nodes: (StoredNode | null)[] }>("/v1/lookup", { ids }, signal);
    for (const node of answer.nodes) if (node) found.set(node.id, node);
    return found;
  }

  edges(id: string, limit: number, after: string | null, signal?: AbortSignal): Promise<{ edges: StoredEdge[]; next: string | null }> {
    const query = { direction: "both", limit, after };
    return this.get(`/v1/nodes/${encodeURIComponent(id)}/edges`, query, signal);
  }

  /** A WebSocket. A browser sends no other header of ours with it than the protocols. */
  socket(path: string, query: Query, named: boolean): WebSocket {
    const url = new URL(this.address(path, query, named), location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    return new WebSocket(url, protocols(this.secret));
  }
}

/** What a WebSocket offers, so that it may do what the token may. */
export function protocols(token: string): string[] {
  if (token === "") return ["embedded-db"];
  const bytes = String.fromCharCode(...new TextEncoder().encode(token));
  const encoded = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  return ["embedded-db", `token.${encoded}`];
}
