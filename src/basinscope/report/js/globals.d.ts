// Globals defined outside these files.

declare const Plotly: {
  react(element: HTMLElement, data: unknown[], layout: unknown, config?: unknown): Promise<unknown>;
  restyle(element: HTMLElement, change: Record<string, unknown>, traces: number[]): Promise<unknown>;
  relayout(element: HTMLElement, change: Record<string, unknown>): Promise<unknown>;
};
