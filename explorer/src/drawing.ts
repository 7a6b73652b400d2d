// Graphs on a canvas, in the colours of the page. Sigma draws with WebGL.

import type { AbstractGraph } from "graphology-types";
import Sigma from "sigma";
import type { Settings } from "sigma/settings";

import { colour } from "./values";

export interface Colours {
  text: string;
  quiet: string;
  line: string;
  ground: string;
  accent: string;
  kinds: string[];
}

/** Nodes from which on they are drawn small. */
const MANY = 1_000;

/** The colours of the page as they are now, light or dark. */
export function colours(): Colours {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: read("text"), quiet: read("quiet"), line: read("edge"), ground: read("ground"), accent: read("accent"),
    kinds: Array.from({ length: 8 }, (_, at) => read(`colour-${at}`)),
  };
}

export class Drawing {
  readonly sigma: Sigma;
  private hurried = false;
  private look = colours();
  private readonly watched = new MutationObserver(() => this.restyle());
  private readonly night = matchMedia("(prefers-color-scheme: dark)");

  constructor(
    private readonly graph: AbstractGraph,
    container: HTMLElement,
    private readonly selected: () => string | null,
    /** Whether an edge is one of a node's few. */
    private readonly touches: (edge: string, node: string) => boolean,
    settings: Partial<Settings> = {},
  ) {
    this.sigma = new Sigma(graph as never, container, {
      allowInvalidContainer: true,
      labelFont: "system-ui, sans-serif",
      labelSize: 12,
      labelDensity: 0.7,
      labelRenderedSizeThreshold: 5,
      hideEdgesOnMove: true,
      minCameraRatio: 0.005,
      maxCameraRatio: 20,
      stagePadding: 70,
      edgeLabelSize: 10,
      zIndex: true,
      defaultDrawNodeHover: (context, data, given) => this.hovered(context, data, given),
      nodeReducer: (id, data) => this.node(id, data as Record<string, unknown>),
      edgeReducer: (id) => this.edge(id),
      ...settings,
    });
    this.keys(container);
    this.restyle();
    this.watched.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    this.night.addEventListener("change", this.restyle);
  }

  private readonly restyle = () => {
    this.look = colours();
    this.sigma.setSetting("labelColor", { color: this.look.text });
    this.sigma.setSetting("edgeLabelColor", { color: this.look.quiet });
    this.sigma.refresh({ schedule: true });
  };

  private node(id: string, data: Record<string, unknown>): Record<string, unknown> {
    const kind = String(data["kind"] ?? "");
    const color = this.look.kinds[colour(kind)] ?? this.look.quiet;
    const size = Number(data["size"]) * (this.many() ? 0.6 : 1);
    if (id !== this.selected()) return { ...data, color, size };
    return { ...data, color: this.look.accent, size, highlighted: true, zIndex: 1 };
  }

  /** Whether there are so many nodes that they are drawn small. */
  private many(): boolean {
    return this.graph.order > MANY;
  }

  private edge(id: string): Record<string, unknown> {
    if (this.hurried && this.many()) return { hidden: true };
    const selected = this.selected();
    const touches = selected !== null && this.touches(id, selected);
    return touches ? { color: this.look.accent, size: 3, zIndex: 1 } : { color: this.look.line, size: this.many() ? 0.7 : 2 };
  }

  private hovered(context: CanvasRenderingContext2D, data: { x: number; y: number; size: number; label?: string | null }, given: Settings): void {
    const label = data.label ?? "";
    context.font = `600 ${given.labelSize}px ${given.labelFont}`;
    context.beginPath();
    context.arc(data.x, data.y, data.size + 3, 0, Math.PI * 2);
    context.strokeStyle = this.look.text;
    context.lineWidth = 2;
    context.stroke();
    if (label === "") return;
    const width = context.measureText(label).width;
    const [x, y] = [data.x + data.size + 5, data.y - given.labelSize / 2 - 4];
    context.fillStyle = this.look.ground;
    context.strokeStyle = this.look.line;
    context.lineWidth = 1;
    context.beginPath();
    context.roundRect(x, y, width + 12, given.labelSize + 8, 4);
    context.fill();
    context.stroke();
    context.fillStyle = this.look.text;
    context.fillText(label, x + 6, data.y + given.labelSize / 3);
  }

  /** Arrows move the camera, + and - zoom, 0 shows all. */
  private keys(container: HTMLElement): void {
    container.tabIndex = 0;
    container.addEventListener("keydown", (event) => {
      const camera = this.sigma.getCamera();
      const state = camera.getState();
      const far = 0.15 * state.ratio;
      const moves: Record<string, () => void> = {
        ArrowLeft: () => camera.setState({ x: state.x - far }),
        ArrowRight: () => camera.setState({ x: state.x + far }),
        ArrowUp: () => camera.setState({ y: state.y + far }),
        ArrowDown: () => camera.setState({ y: state.y - far }),
        "+": () => void camera.animatedZoom({ duration: 120 }),
        "-": () => void camera.animatedUnzoom({ duration: 120 }),
        "0": () => this.fit(),
      };
      const move = moves[event.key];
      if (!move || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      move();
    });
  }

  /** Whether places change many times a second: many edges are drawn when that is over. */
  hurry(hurried: boolean): void {
    const named = !this.many();
    if (this.sigma.getSetting("renderEdgeLabels") !== named) this.sigma.setSetting("renderEdgeLabels", named);
    if (this.hurried === hurried) return;
    this.hurried = hurried;
    this.sigma.refresh({ schedule: true });
  }

  fit(): void {
    void this.sigma.getCamera().animatedReset({ duration: 150 });
  }

  refresh(): void {
    this.sigma.resize();
    this.sigma.refresh({ schedule: true });
  }

  close(): void {
    this.watched.disconnect();
    this.night.removeEventListener("change", this.restyle);
    this.sigma.kill();
  }
}

/** Whether the browser can draw. */
export function draws(): boolean {
  const canvas = document.createElement("canvas");
  return (canvas.getContext("webgl2") ?? canvas.getContext("webgl")) !== null;
}
