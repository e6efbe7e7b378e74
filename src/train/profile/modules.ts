import type { TimedDispatch } from '../../runtime/profiler.ts';

/** A module with everything below it; times in milliseconds and counts of one step. */
export interface ModuleTotal {
  /** Its own name, as 'body' of 'encoder.body'; 'all' of the root. */
  readonly name: string;
  readonly path: string;
  readonly count: number;
  readonly ms: number;
  readonly forwardMs: number;
  readonly backwardMs: number;
  /** Without its children. */
  readonly ownMs: number;
  /** The longest first. */
  readonly children: readonly ModuleTotal[];
}

interface Node {
  count: number;
  forward: number;
  backward: number;
  readonly children: Map<string, Node>;
}

const emptyNode = (): Node => ({ count: 0, forward: 0, backward: 0, children: new Map() });

/** The tree of the modules that dispatches were labelled with. */
export function moduleTotals(timed: readonly TimedDispatch[], steps: number): ModuleTotal {
  const root = emptyNode();
  for (const { dispatch, begin, end } of timed) {
    const { module = '', backward = false } = dispatch.work?.label ?? {};
    let node = root;
    for (const name of module === '' ? [] : module.split('.')) {
      let child = node.children.get(name);
      if (!child) {
        child = emptyNode();
        node.children.set(name, child);
      }
      node = child;
    }
    node.count++;
    node[backward ? 'backward' : 'forward'] += end - begin;
  }
  return total('all', '', root, steps);
}

function total(name: string, path: string, node: Node, steps: number): ModuleTotal {
  const children = [...node.children]
    .map(([key, child]) => total(key, path ? `${path}.${key}` : key, child, steps))
    .sort((a, b) => b.ms - a.ms);
  const all = (own: number, of: (child: ModuleTotal) => number) =>
    children.reduce((sum, child) => sum + of(child), own);
  const scale = 1e6 * steps;
  const forwardMs = all(node.forward / scale, child => child.forwardMs);
  const backwardMs = all(node.backward / scale, child => child.backwardMs);
  return {
    name,
    path,
    count: all(node.count / steps, child => child.count),
    ms: forwardMs + backwardMs,
    forwardMs,
    backwardMs,
    ownMs: (node.forward + node.backward) / scale,
    children,
  };
}
