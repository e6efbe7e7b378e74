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

interface Node {
  readonly op: Op<unknown>;
  readonly inputs: readonly Tensor[];
  readonly attributes: unknown;
  /** Creation order: the graph is walked backwards by it. */
  readonly order: number;
  /** The module that it belongs to, while something is profiled: its gradient counts for the same. */
  readonly label: Label | undefined;
}

/** Which op made a tensor. The graph lives beside the tensors, not in them, and dies with them. */
const nodes = new WeakMap<Tensor, Node>();
const variables = new WeakSet<Tensor>();
let order = 0;
let recording = true;

/** Whether gradients can flow to this tensor: it is a variable, or computed from one. */
export function isTracked(tensor: Tensor): boolean {
  return variables.has(tensor) || nodes.has(tensor);
}

/** Runs an op, and notes it in the graph if one of its inputs is tracked. */
export function apply<A>(op: Op<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  const narrow = op.half ? undefined : inputs.find(({ dtype }) => dtype === 'f16');
  if (narrow) throw new Error(`${op.name} takes f32 tensors: cast() ${narrow} first`);
  const output = op.forward(inputs, attributes);
  if (recording && inputs.some(isTracked)) {
    nodes.set(output, { op: op as Op<unknown>, inputs, attributes, order: order++, label: currentLabel() });
  }
  return output;
}

/** The same values as a new leaf that gradients are taken with respect to. */
export function variable(tensor: Tensor, name = tensor.name): Tensor {
  const leaf = tensor.alias(name);
  variables.add(leaf);
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
  const targets = new Set(tensors);
  const run = (): (Tensor | undefined)[] => {
    const gradients = new Map<Tensor, Tensor>([[loss, gradient ?? accumulation.ones(loss)]]);
    const { path, wanted } = pathsTo(targets, loss);
    for (const tensor of path) {
      const output = gradients.get(tensor);
      if (!output) continue;
      if (!targets.has(tensor)) gradients.delete(tensor);
      asGradientOf(nodes.get(tensor)!.label, () => propagate(tensor, output, wanted, gradients));
    }
    return tensors.map(tensor => gradients.get(tensor) ?? missing(loss, tensor, unused));
  };
  return createGraph ? run() : noGrad(run);
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
 * The tensors that the loss is computed from and that have a node, last made first; and those for which a gradient is
 * wanted: the targets and what lies between them and the loss.
 */
function pathsTo(targets: ReadonlySet<Tensor>, loss: Tensor): { path: Tensor[]; wanted: ReadonlySet<Tensor> } {
  const reached = new Set<Tensor>([loss]);
  const list: Tensor[] = [];
  for (const tensor of reached) {
    const node = nodes.get(tensor);
    if (!node) continue;
    list.push(tensor);
    for (const input of node.inputs) reached.add(input);
  }
  list.sort((a, b) => nodes.get(a)!.order - nodes.get(b)!.order);
  const wanted = new Set(targets);
  for (const tensor of list) {
    if (nodes.get(tensor)!.inputs.some(input => wanted.has(input))) wanted.add(tensor);
  }
  return { path: list.reverse(), wanted };
}

/** Adds the gradients of a node's inputs, given that of its output. */
function propagate(
  tensor: Tensor,
  gradient: Tensor,
  wanted: ReadonlySet<Tensor>,
  gradients: Map<Tensor, Tensor>,
): void {
  const { op, inputs, attributes } = nodes.get(tensor)!;
  const needs = inputs.map(input => wanted.has(input));
  if (!needs.includes(true)) return;
  const results = op.vjp(gradient, { inputs, output: tensor, attributes, needs });
  inputs.forEach((input, i) => {
    const result = results[i];
    if (!needs[i] || !result) return;
    if (result.size !== input.size) {
      throw new Error(`vjp of ${op.name}: gradient ${shapeText(result.shape)} for input ${shapeText(input.shape)}`);
    }
    const sum = gradients.get(input);
    gradients.set(input, sum ? accumulation.add(sum, result) : result);
  });
}
