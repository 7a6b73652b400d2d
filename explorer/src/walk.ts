// The part of the graph that one has walked through: nodes, edges, and how far each node is expanded.

import { MultiDirectedGraph } from "graphology";

import type { StoredEdge } from "./api";
import { excerpt, title, type StoredNode } from "./values";

export interface NodeLook {
  x: number;
  y: number;
  size: number;
  label: string;
  kind: string;
}

export interface EdgeLook {
  size: number;
  type: string;
  label: string;
}

/** Nodes that are shown at most: more can be drawn, but not be looked at. */
export const MOST = 20_000;

/** How far a node is expanded: its edges that are there, and where the next page begins. */
export interface Expanded {
  edges: number;
  next: string | null;
}

export class Walk {
  readonly graph = new MultiDirectedGraph<NodeLook, EdgeLook>();
  private readonly expanded = new Map<string, Expanded>();
  private readonly kinds = new Map<string, number>();

  /** How far a node is expanded; `null` for one that was not. */
  state(id: string): Expanded | null {
    return this.expanded.get(id) ?? null;
  }

  has(id: string): boolean {
    return this.graph.hasNode(id);
  }

  /** How many nodes there are of each label, the most frequent first. */
  counts(): [string, number][] {
    return [...this.kinds].filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  }

  get full(): boolean {
    return this.graph.order >= MOST;
  }

  /** Places a node, on a spiral around another one that it comes from. */
  add(node: StoredNode, around: string | null = null, turn = 0): boolean {
    const name = title(node, 40);
    const kind = node.labels[0] ?? "";
    if (this.has(node.id)) {
      this.graph.setNodeAttribute(node.id, "label", name);
      return false;
    }
    if (this.full) return false;
    const from = around !== null && this.has(around) ? this.graph.getNodeAttributes(around) : { x: 0, y: 0 };
    const [angle, far] = [turn * 2.39996, around === null ? 0 : 4 + 1.6 * Math.sqrt(turn)];
    const [x, y] = [from.x + far * Math.cos(angle), from.y + far * Math.sin(angle)];
    this.graph.addNode(node.id, { x, y, size: 5, label: name, kind });
    this.kinds.set(kind, (this.kinds.get(kind) ?? 0) + 1);
    return true;
  }

  /** A page of the edges of a node, with the nodes at their other ends. Tells how many nodes are new. */
  expand(id: string, edges: StoredEdge[], nodes: Map<string, StoredNode>, next: string | null): number {
    let added = 0;
    const before = this.graph.hasNode(id) ? this.graph.degree(id) : 0;
    for (const edge of edges) {
      const other = edge.source === id ? edge.target : edge.source;
      const node = nodes.get(other);
      if (node && this.add(node, id, before + added)) added += 1;
      this.tie(edge);
    }
    const known = this.expanded.get(id)?.edges ?? 0;
    this.expanded.set(id, { edges: known + edges.length, next });
    this.grow(id);
    return added;
  }

  /** Edges between nodes that are there. */
  private tie(edge: StoredEdge): void {
    if (this.graph.hasEdge(edge.id) || !this.has(edge.source) || !this.has(edge.target)) return;
    this.graph.addDirectedEdgeWithKey(edge.id, edge.source, edge.target, { size: 2, type: "arrow", label: excerpt(edge.type, 40) });
    for (const end of [edge.source, edge.target]) this.grow(end);
  }

  private grow(id: string): void {
    if (!this.has(id)) return;
    const open = this.expanded.has(id) ? 3 : 0;
    this.graph.setNodeAttribute(id, "size", Math.min(22, 4 + open + 1.6 * Math.log2(1 + this.graph.degree(id))));
  }

  remove(id: string): void {
    if (!this.has(id)) return;
    const kind = this.graph.getNodeAttribute(id, "kind");
    this.kinds.set(kind, (this.kinds.get(kind) ?? 1) - 1);
    this.graph.dropNode(id);
    this.expanded.delete(id);
  }
}
