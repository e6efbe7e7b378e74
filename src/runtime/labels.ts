/**
 * Which part of a model is at work, for the profiler. Labels exist only while something is profiled: without one,
 * nothing is noted anywhere.
 */

export interface Label {
  /** The path of a module, as 'encoder.body.3'; empty outside of all. */
  readonly module: string;
  /** Whether a gradient is computed. */
  readonly backward: boolean;
}

let current: Label | undefined;

export function currentLabel(): Label | undefined {
  return current;
}

/** Labels what comes from now on; undefined ends labelling. */
export function setLabel(label: Label | undefined): void {
  current = label;
}

/** Runs a synchronous function as work of a module; a forward pass within a backward one counts as backward. */
export function inModule<T>(module: string, body: () => T): T {
  return current ? under({ module, backward: current.backward }, body) : body();
}

/** Runs a synchronous function as the gradient of what was noted under a label, if there was one. */
export function asGradientOf<T>(label: Label | undefined, body: () => T): T {
  return label && current ? under({ module: label.module, backward: true }, body) : body();
}

/** A function that, whenever it is called while something is profiled, counts for what is at work now. */
export function labelled<A extends unknown[], T>(body: (...args: A) => T): (...args: A) => T {
  const label = current;
  return label ? (...args) => (current ? under(label, () => body(...args)) : body(...args)) : body;
}

function under<T>(label: Label, body: () => T): T {
  const before = current;
  current = label;
  try {
    return body();
  } finally {
    current = before;
  }
}
