import { describe, expect, it } from "vitest";

import { protocols } from "./api";
import { difference, editable, written } from "./editor";
import { furthest } from "./furthest";
import { request } from "./search";
import { colour, counted, excerpt, parse, shown, stringify, title, type StoredNode } from "./values";

const node = (id: string, properties: StoredNode["properties"] = {}): StoredNode => ({
  id, properties, labels: ["Thing"], created_at: "", updated_at: "", expires_at: null, version: 1, derived: false,
});

describe("values", () => {
  it("show what the server writes in its own forms", () => {
    expect(shown({ $float: "nan" })).toBe("nan");
    expect(shown({ $bytes: "AAECAw==" })).toBe("4 bytes");
    expect(shown({ $time: "no time" })).toBe("no time");
    expect(shown("a\nb")).toBe("a\nb");
    expect(shown([1, null, true])).toBe("[\n 1,\n null,\n true\n]");
    expect(shown({ $time: "2024-05-01T07:30:00Z", more: 1 })).toContain("$time");
  });

  it("are cut between characters, on one line", () => {
    expect(excerpt("a\u202e\u0000b \n\n c", 10)).toBe("a b c");
    expect(excerpt("😀😀😀", 3)).toBe("😀😀😀");
    expect(excerpt("😀😀😀", 2)).toBe("😀…");
    expect(counted(1, "edge")).toBe("1 edge");
  });

  it("give a node a name, whatever it has", () => {
    expect(title(node("n", { name: " \u200b ", content: "said" }))).toBe("said");
    expect(title(node("n", { name: 7 }))).toBe("n");
    expect(title(node("\u0001"))).toBe("(no name)");
  });

  it("always have the same colour for a name", () => {
    for (const name of ["", "Message", "😀", "\ud800"]) {
      expect(colour(name)).toBe(colour(name));
      expect(colour(name)).toBeGreaterThanOrEqual(0);
      expect(colour(name)).toBeLessThan(8);
    }
  });
});

describe("an answer", () => {
  it("is read whole, what is stored and what is not", () => {
    const text = '{"results":[{"node":{"properties":{"a":[1,{"properties":2}]}},"score":0.0}],"next":null}';
    expect(parse(text)).toEqual(JSON.parse(text));
  });

  // Node.js 20 tells a reviver no source of a number, browsers do.
  it.runIf("rawJSON" in JSON)("keeps stored numbers as they are written", () => {
    const text = '{"properties":{"big":9223372036854775807,"whole":1.0,"half":1.5},"score":1}';
    expect(stringify(parse(text))).toBe(text);
  });
});

describe("the editor", () => {
  it("sends only what was changed", () => {
    const before = { name: "Ann", age: 7, tags: ["a"], gone: null };
    const rows = Object.entries(before).map(([name, value]) => editable(name, value));
    expect(difference(before, rows)).toEqual({ set: {}, remove: [] });
    rows[1]!.value = "8";
    rows[3] = { name: "new", kind: "text", value: "8" };
    const { set, remove } = difference(before, rows);
    expect({ ...set }).toEqual({ age: 8, new: "8" });
    expect(remove).toEqual(["gone"]);
  });

  it("knows a name that every object has", () => {
    const { set } = difference({}, [{ name: "__proto__", kind: "text", value: "x" }, { name: "constructor", kind: "JSON", value: "1" }]);
    expect(stringify(set)).toBe('{"__proto__":"x","constructor":1}');
  });

  it("refuses what it cannot send", () => {
    expect(() => written({ name: "age", kind: "JSON", value: "seven" })).toThrow("age");
    const twice = { name: "a", kind: "text" as const, value: "" };
    expect(() => difference({}, [twice, twice])).toThrow("twice");
    expect(() => difference({}, [{ ...twice, name: "" }])).toThrow("no name");
  });
});

describe("requests", () => {
  const asked = (query: string) => request(new URLSearchParams(query));

  it("hold the legs that were chosen", () => {
    expect(asked("q=oven")).toEqual({ path: "/v1/search", body: { text: "oven", limit: 20, explain: true } });
    const both = asked("q=oven&mode=query&limit=100").body;
    expect(both).toEqual({ text_query: { text: "oven" }, semantic_query: { text: "oven" }, limit: 100, explain: true });
    expect(asked("q=oven&mode=query&meaning=no").body).not.toHaveProperty("semantic_query");
    expect(asked("mode=query&label=Thing&near=a&hops=3")).toEqual({
      path: "/v1/query",
      body: { labels: ["Thing"], graph_filter: { start: ["a"], max_hops: 3 }, limit: 20, explain: true },
    });
    expect(asked("q=oven&mode=recall").path).toBe("/v1/recall");
  });

  it("give a token to a WebSocket in base64 of addresses", () => {
    expect(protocols("")).toEqual(["embedded-db"]);
    expect(protocols("a?>~ü")).toEqual(["embedded-db", "token.YT8-fsO8"]);
  });
});

describe("the map", () => {
  it("names what lies furthest out", () => {
    const at = (id: string, x: number) => ({ id, labels: [], coordinates: [x] });
    const tokens = [at("a", 0.1), at("b", -0.5), at("c", 0.9)];
    expect(furthest(tokens, 0, 1, 2).map((it) => it.id)).toEqual(["c", "a"]);
    expect(furthest(tokens, 0, -1, 1).map((it) => it.id)).toEqual(["b"]);
  });
});
