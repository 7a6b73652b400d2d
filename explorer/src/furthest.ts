// What lies at the ends of an axis of the map.

import type { TokenPoint } from "./api";

/** The nodes that lie furthest out on an axis, at one of its ends. */
export function furthest(tokens: TokenPoint[], axis: number, sign: 1 | -1, most: number): TokenPoint[] {
  const far = (token: TokenPoint) => sign * (token.coordinates[axis] ?? 0);
  return [...tokens].sort((a, b) => far(b) - far(a)).slice(0, most);
}
