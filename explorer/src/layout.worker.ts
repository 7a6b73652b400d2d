// The layout (ForceAtlas2), away from the page, so that the page does not wait for it.

import iterate from "graphology-layout-forceatlas2/iterate";
import type { LayoutRequest } from "./layout";

const SETTINGS = {
  linLogMode: false, outboundAttractionDistribution: false, adjustSizes: false, edgeWeightInfluence: 0,
  scalingRatio: 10, strongGravityMode: true, gravity: 0.05, barnesHutTheta: 0.6,
};
/** From so many nodes on near ones are taken together. */
const MANY = 600;
/** Milliseconds between two answers: the page has to draw what it is told, and many nodes take long. */
const every = (order: number): number => 50 + order / 12;

self.onmessage = (event: MessageEvent<LayoutRequest>) => {
  const { nodes, edges, rounds } = event.data;
  const order = nodes.length / 10;
  const settings = { ...SETTINGS, barnesHutOptimize: order > MANY, slowDown: 1 + Math.log(order) };
  let told = performance.now();
  for (let round = 1; round <= rounds; round += 1) {
    iterate(settings, nodes, edges);
    const now = performance.now();
    if (round < rounds && now - told < every(order)) continue;
    told = now;
    const places = new Float32Array(order * 2);
    for (let at = 0; at < order; at += 1) {
      places[at * 2] = nodes[at * 10]!;
      places[at * 2 + 1] = nodes[at * 10 + 1]!;
    }
    self.postMessage({ places, done: round === rounds }, { transfer: [places.buffer] });
  }
};
