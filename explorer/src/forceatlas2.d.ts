// Parts of the library that it says no types of.
declare module "graphology-layout-forceatlas2/iterate" {
  export default function iterate(settings: Record<string, unknown>, nodes: Float32Array, edges: Float32Array): object;
}
declare module "graphology-layout-forceatlas2/helpers" {
  export function graphToByteArrays(graph: unknown, weight: (edge: string) => number): { nodes: Float32Array; edges: Float32Array };
}

// What lib.dom does not have yet.
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): string };
}
interface Window {
  readonly trustedTypes?: TrustedTypes;
}
