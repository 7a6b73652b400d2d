// Starts and stops the layout, and moves nodes as it says.

import { graphToByteArrays } from "graphology-layout-forceatlas2/helpers";

import address from "./layout.worker.ts?worker&url";
import type { Walk } from "./walk";

export interface LayoutRequest {
  nodes: Float32Array;
  edges: Float32Array;
  rounds: number;
}

interface Placed {
  places: Float32Array;
  done: boolean;
}

// The one address that the policy of the page lets become a program.
const rules = {
  createScriptURL: (url: string): string => {
    if (url !== address) throw new TypeError("an unknown program");
    return url;
  },
};
const policy = window.trustedTypes?.createPolicy("layout", rules) ?? rules;

export class Layout {
  private worker: Worker | null = null;

  constructor(
    private readonly walk: Walk,
    private readonly moved: (running: boolean) => void,
  ) {}

  get running(): boolean {
    return this.worker !== null;
  }

  /** Begins anew with what the graph is now. */
  start(): void {
    this.stop();
    const { graph } = this.walk;
    if (graph.order < 2) return;
    const ids = graph.nodes();
    const matrices = graphToByteArrays(graph, () => 1);
    const rounds = graph.order > 2_000 ? 100 : 400;
    const worker = new Worker(policy.createScriptURL(address), { type: "module" });
    this.worker = worker;
    worker.onmessage = (event: MessageEvent<Placed>) => {
      if (this.worker !== worker) return;
      const { places, done } = event.data;
      const index = new Map(ids.map((id, at) => [id, at]));
      graph.updateEachNodeAttributes((id, look) => {
        const at = index.get(id);
        if (at === undefined) return look;
        look.x = places[at * 2]!;
        look.y = places[at * 2 + 1]!;
        return look;
      }, { attributes: ["x", "y"] });
      if (done) this.stop();
      this.moved(this.running);
    };
    worker.onerror = () => {
      this.stop();
      this.moved(false);
    };
    const request: LayoutRequest = { ...matrices, rounds };
    worker.postMessage(request, [request.nodes.buffer, request.edges.buffer]);
    this.moved(true);
  }

  stop(): void {
    this.worker?.terminate();
    this.worker = null;
  }
}
