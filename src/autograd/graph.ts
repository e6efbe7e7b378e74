import { asGradientOf, currentLabel, type Label } from '../runtime/labels.ts';
import { sameShape, shapeText } from '../runtime/shape.ts';
import type { Tensor } from '../runtime/tensor.ts';

/** What a vjp may use: the op's inputs, its output, its attributes, and which inputs need a gradient at all. */
export interface Context<A> {
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  readonly attributes: A;
  readonly needs: readonly boolean[];
}

/**
 * A differentiable operation: how it is computed, and its vector-Jacobian product in terms of other differentiable
 * operations, so that derivatives of any order come by themselves.
 */
export interface Op<A> {
  readonly name: string;
  /** Whether it takes f16 tensors. */
  readonly half?: boolean;
  forward(inputs: readonly Tensor[], attributes: A): Tensor;
  /** The gradients of the inputs, given that of the output; undefined where an input needs none or has none. */
  vjp(gradient: Tensor, context: Context<A>): readonly (Tensor | undefined)[];
}

/** What made a tensor, and from which others. */
type Node = ({ readonly op: Op<unknown>; readonly attributes: unknown } | { readonly segment: Segment }) & {
  readonly inputs: readonly Tensor[];
  /** Creation order: the graph is walked backwards by it. */
  readonly order: number;
  /** The module that it belongs to, while something is profiled: its gradient counts for the same. */
  readonly label: Label | undefined;
};

/** A stretch of the graph that is not kept: it is made again when its gradients are wanted (see checkpoint.ts). */
export interface Segment {
  /** The tracked tensors from outside that its function uses. */
  readonly inputs: readonly Tensor[];
  /** What its function gave. */
  readonly outputs: readonly Tensor[];
  /** Names of the ops between them, in their order. */
  readonly ops: readonly string[];
  /** Runs the function again, without its effects; gives tensors in the order of `outputs`. */
  readonly repeat: () => readonly Tensor[];
  /** Takes the gradients of the outputs back to some of the inputs, as a segment that can be differentiated again. */
  readonly differentiate: (
    gradients: readonly (Tensor | undefined)[],
    inputs: readonly Tensor[],
  ) => readonly (Tensor | undefined)[];
}

/** What made a tensor. The graph lives beside the tensors, not in them, and dies with them. */
const nodes = new WeakMap<Tensor, Node>();
/** When each leaf was made. */
const variables = new WeakMap<Tensor, number>();
let order = 0;
let recording = true;

/** Whether gradients can flow to this tensor: it is a variable, or computed from one. */
export function isTracked(tensor: Tensor): boolean {
  return variables.has(tensor) || nodes.has(tensor);
}

/** Throws where an operation that computes in f32 gets an f16 tensor. */
export function refuseHalf(name: string, inputs: readonly Tensor[]): void {
  const narrow = inputs.find(({ dtype }) => dtype === 'f16');
  if (narrow) throw new Error(`${name} takes f32 tensors: cast() ${narrow} first`);
}

/** Runs an op, and notes it in the graph if one of its inputs is tracked. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  if (!op.half) refuseHalf(op.name, inputs);
  const output = op.forward(inputs, attributes);
  if (recording && inputs.some(isTracked)) {
    nodes.set(output, { op: op as Op<unknown>, inputs, attributes, order: order++, label: currentLabel() });
  }
  return output;
}

/** The order that the next tensor has: what is made from here on is at or above it. */
export function nextOrder(): number {
  return order;
}

/** Whether a tensor is tracked and was made at or after that moment. */
export function isMadeSince(tensor: Tensor, moment: number): boolean {
  return (nodes.get(tensor)?.order ?? variables.get(tensor) ?? -1) >= moment;
}

/** What tensors were computed from since a moment: the tracked inputs from before it, and the ops between. */
export function traceSince(outputs: readonly Tensor[], moment: number): Pick<Segment, 'inputs' | 'ops'> {
  const path = pathFrom(outputs, tensor => !isMadeSince(tensor, moment));
  const used = new Set(path.flatMap(tensor => nodes.get(tensor)!.inputs));
  const inputs = [...used].filter(tensor => isTracked(tensor) && !isMadeSince(tensor, moment));
  return { inputs, ops: opsOn(path, inputs).ops };
}

/** Notes a segment as what made its outputs, in place of the ops that did. */
export function noteSegment(segment: Segment): void {
  const node = { segment, inputs: segment.inputs, order: order++, label: currentLabel() };
  for (const output of segment.outputs) nodes.set(output, node);
}

/** The same values as a new leaf that gradients are taken with respect to. */
export function variable(tensor: Tensor, name = tensor.name): Tensor {
  const leaf = tensor.alias(name);
  variables.set(leaf, order++);
  return leaf;
}

/** The same values as a constant: gradients stop here. */
export function stopGradient(tensor: Tensor): Tensor {
  return isTracked(tensor) ? tensor.alias() : tensor;
}

/** Whether ops are noted in the graph now: in a vjp, whether it will be differentiated again. */
export function isRecording(): boolean {
  return recording;
}

/** Runs a function without noting its ops in the graph. */
export function noGrad<T>(body: () => T): T {
  return setRecording(false, body);
}

/** Runs a function and notes its ops or not. */
export function setRecording<T>(value: boolean, body: () => T): T {
  const before = recording;
  recording = value;
  try {
    return body();
  } finally {
    recording = before;
  }
}

export interface GradOptions<Unused extends 'error' | 'zero' | 'none' = 'error' | 'zero' | 'none'> {
  /** Note the backward pass in the graph, so that the gradients can be differentiated again. Default false. */
  readonly createGraph?: boolean;
  /** The gradient of the loss itself, of its shape; by default 1, and the loss must then have one element. */
  readonly gradient?: Tensor;
  /** For a tensor that the loss does not depend on: throw (the default), give zeros, or give undefined. */
  readonly unused?: Unused;
}

/** The operations that the backward pass itself needs; set by the ops, which import this file. */
export interface Accumulation {
  add(a: Tensor, b: Tensor): Tensor;
  ones(like: Tensor): Tensor;
  zeros(like: Tensor): Tensor;
}
let accumulation: Accumulation;
export function setAccumulation(functions: Accumulation): void {
  accumulation = functions;
}

/**
 * The gradients of `loss` with respect to each of `tensors`: variables, or tensors on the way from variables to the
 * loss. Only what lies on a path between them is computed.
 *
 * @throws if the loss does not depend on one of them (see `unused`), if it has more than one element and no `gradient`
 * is given, or one of another shape.
 */
export function grad(loss: Tensor, tensors: readonly Tensor[], options?: GradOptions<'error' | 'zero'>): Tensor[];
export function grad(loss: Tensor, tensors: readonly Tensor[], options: GradOptions<'none'>): (Tensor | undefined)[];
export function grad(
  loss: Tensor,
  tensors: readonly Tensor[],
  { createGraph = false, gradient, unused = 'error' }: GradOptions = {},
): (Tensor | undefined)[] {
  if (!gradient && loss.size !== 1) {
    throw new Error(`grad() needs a loss of one element or a gradient for it; ${loss} has ${loss.size}`);
  }
  if (gradient && !sameShape(gradient.shape, loss.shape)) {
    throw new Error(`grad(): ${gradient} is given as the gradient of ${loss}, which has another shape`);
  }
  const gradients = new Map<Tensor, Tensor>();
  const run = (): (Tensor | undefined)[] => {
    gradients.set(loss, gradient ?? accumulation.ones(loss));
    backward([loss], new Set(tensors), gradients);
    return tensors.map(tensor => gradients.get(tensor) ?? missing(loss, tensor, unused));
  };
  return createGraph ? run() : noGrad(run);
}

/**
 * Takes the gradients of `roots` that are in the map back to the targets, whose gradients are in it afterwards. With a
 * segment, the roots are what its repetition gave, and the graph ends at its inputs.
 */
export function backward(
  roots: readonly Tensor[],
  targets: ReadonlySet<Tensor>,
  gradients: Map<Tensor, Tensor>,
  segment?: Segment,
): void {
  const { path, wanted } = pathsTo(targets, roots, segment);
  const done = new Set<Segment>();
  for (const tensor of path) {
    const node = nodes.get(tensor)!;
    const needs = node.inputs.map(input => wanted.has(input));
    const outputs = 'segment' in node ? node.segment.outputs : [tensor];
    const given = outputs.map(output => gradients.get(output));
    for (const output of outputs) if (!targets.has(output)) gradients.delete(output);
    if (!needs.includes(true) || given.every(gradient => !gradient)) continue;
    if ('op' in node) {
      const { op, inputs, attributes, label } = node;
      asGradientOf(label, () => {
        const results = op.vjp(given[0]!, { inputs, output: tensor, attributes, needs });
        accumulate(op.name, inputs, needs, results, gradients);
      });
    } else if (!done.has(node.segment)) {
      done.add(node.segment);
      asGradientOf(node.label, () => backwardThrough(node.segment, given, needs, gradients));
    }
  }
}

/**
 * Takes gradients back through a segment, which is made again. Its ops come in the order in which they would without
 * it, and add to the same sums: the gradients are equal bit for bit.
 */
function backwardThrough(
  segment: Segment,
  given: readonly (Tensor | undefined)[],
  needs: readonly boolean[],
  gradients: Map<Tensor, Tensor>,
): void {
  const inputs = segment.inputs.filter((_, i) => needs[i]);
  if (recording) {
    const results = segment.differentiate(given, inputs);
    accumulate('checkpoint', inputs, new Array<boolean>(inputs.length).fill(true), results, gradients);
    return;
  }
  inputs[0].device.scope('repeated segment', () => {
    const outputs = setRecording(true, segment.repeat);
    outputs.forEach((output, i) => {
      if (given[i]) gradients.set(output, given[i]);
    });
    backward(outputs, new Set(inputs), gradients, segment);
    return [...gradients.values()];
  });
}

function missing(loss: Tensor, tensor: Tensor, unused: 'error' | 'zero' | 'none'): Tensor | undefined {
  if (unused === 'none') return undefined;
  if (unused === 'zero') return accumulation.zeros(tensor);
  throw new Error(
    `${loss} does not depend on ${tensor}` +
      (isTracked(tensor) ? '' : ', which is no variable() and not computed from one') +
      "; pass unused: 'zero' if that is meant",
  );
}

/**
 * The tensors that the roots are computed from and that have a node, last made first; and those for which a gradient is
 * wanted: the targets and what lies between them and the roots.
 */
function pathsTo(
  targets: ReadonlySet<Tensor>,
  roots: readonly Tensor[],
  segment?: Segment,
): { path: Tensor[]; wanted: ReadonlySet<Tensor> } {
  const ends = new Set(segment?.inputs);
  const path = pathFrom(roots, tensor => ends.has(tensor));
  const wanted = new Set(targets);
  for (const tensor of [...path].reverse()) {
    if (nodes.get(tensor)!.inputs.some(input => wanted.has(input))) wanted.add(tensor);
  }
  if (segment) refuseChange(segment, path);
  return { path, wanted };
}

/** The tensors that the roots are computed from and that have a node, last made first, up to where `ends` says. */
function pathFrom(roots: readonly Tensor[], ends: (tensor: Tensor) => boolean): Tensor[] {
  const reached = new Set(roots);
  const path: Tensor[] = [];
  for (const tensor of reached) {
    const node = nodes.get(tensor);
    if (!node || ends(tensor)) continue;
    path.push(tensor);
    for (const input of node.inputs) reached.add(input);
  }
  return path.sort((a, b) => nodes.get(b)!.order - nodes.get(a)!.order);
}

/** The names of the ops on a path that depend on some of the inputs, in its order; and which of these were met. */
function opsOn(path: readonly Tensor[], inputs: readonly Tensor[]): { ops: string[]; met: ReadonlySet<Tensor> } {
  const from = new Set(inputs);
  const met = new Set<Tensor>();
  const ops: string[] = [];
  for (const tensor of [...path].reverse()) {
    const node = nodes.get(tensor)!;
    const own = node.inputs.filter(input => from.has(input));
    if (own.length === 0) continue;
    for (const input of own) met.add(input);
    from.add(tensor);
    ops.push('op' in node ? node.op.name : 'checkpoint');
  }
  return { ops, met };
}

/** Gradients would be silently wrong if the repetition did something else than the function did at first. */
function refuseChange({ inputs, ops }: Segment, path: readonly Tensor[]): void {
  const again = opsOn(path, inputs);
  const lost = inputs.find(input => !again.met.has(input));
  if (!lost && again.ops.join() === ops.join()) return;
  throw new Error(
    'checkpoint: when its function was repeated for the gradients it did ' +
      (lost ? `not use ${lost}` : 'other operations than at first') +
      '; it must do the same until the gradients are taken',
  );
}

/** Adds gradients of some inputs to what is known of them. */
function accumulate(
  name: string,
  inputs: readonly Tensor[],
  needs: readonly boolean[],
  results: readonly (Tensor | undefined)[],
  gradients: Map<Tensor, Tensor>,
): void {
  inputs.forEach((input, i) => {
    const result = results[i];
    if (!needs[i] || !result) return;
    if (!sameShape(result.shape, input.shape)) {
      throw new Error(`vjp of ${name}: gradient ${shapeText(result.shape)} for input ${shapeText(input.shape)}`);
    }
    const sum = gradients.get(input);
    gradients.set(input, sum ? accumulation.add(sum, result) : result);
  });
}
