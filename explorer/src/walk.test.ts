import { describe, expect, it } from "vitest";

import type { StoredEdge } from "./api";
import type { StoredNode } from "./values";
import { MOST, Walk } from "./walk";

const node = (id: string): StoredNode => ({
  id, properties: { name: `name of ${id}` }, labels: ["Thing"], created_at: "", updated_at: "", expires_at: null, version: 1, derived: false,
});
const edge = (source: string, target: string, id = `${source}-${target}`): StoredEdge => ({
  id, source, target, type: "TIES", properties: {}, weight: null, valid_from: null, valid_to: null, derived: false,
});
const known = (...ids: string[]) => new Map(ids.map((id) => [id, node(id)]));

describe("a walk", () => {
  it("takes pages of edges, each edge and node once", () => {
    const walk = new Walk();
    walk.add(node("a"));
    expect(walk.expand("a", [edge("a", "b"), edge("c", "a")], known("b", "c"), "next")).toBe(2);
    expect(walk.state("a")).toEqual({ edges: 2, next: "next" });
    expect(walk.expand("a", [edge("a", "b"), edge("a", "b", "again"), edge("a", "a")], known("b"), null)).toBe(0);
    expect(walk.state("a")).toEqual({ edges: 5, next: null });
    expect([walk.graph.order, walk.graph.size]).toEqual([3, 4]);
    expect(walk.state("b")).toBeNull();
  });

  it("leaves out ends that are not there", () => {
    const walk = new Walk();
    walk.add(node("a"));
    expect(walk.expand("a", [edge("a", "gone")], new Map(), null)).toBe(0);
    expect([walk.graph.order, walk.graph.size]).toEqual([1, 0]);
  });

  it("places all nodes somewhere, no two on one another", () => {
    const walk = new Walk();
    walk.add(node("a"));
    const ids = Array.from({ length: 500 }, (_, at) => `n${at}`);
    walk.expand("a", ids.map((id) => edge("a", id)), known(...ids), null);
    const places = new Set(walk.graph.mapNodes((_, look) => `${look.x.toFixed(3)} ${look.y.toFixed(3)}`));
    expect(places.size).toBe(501);
    expect(walk.graph.everyNode((_, look) => Number.isFinite(look.x + look.y + look.size) && look.size <= 22)).toBe(true);
  });

  it("ends where nobody could look at more", () => {
    const walk = new Walk();
    walk.add(node("a"));
    const ids = Array.from({ length: MOST + 10 }, (_, at) => `n${at}`);
    walk.expand("a", ids.map((id) => edge("a", id)), known(...ids), null);
    expect(walk.graph.order).toBe(MOST);
    expect(walk.full).toBe(true);
    walk.remove("n0");
    expect(walk.full).toBe(false);
    expect(walk.counts()).toEqual([["Thing", MOST - 1]]);
  });
});
