import { grid } from '../runtime/device.ts';
import { bindingsOf } from '../runtime/kernel.ts';
import { type Shape, shapeText, sizeOf } from '../runtime/shape.ts';
import type { Tile } from '../runtime/template.ts';
import type { DType, Tensor } from '../runtime/tensor.ts';
import { apply, type Context, type Op } from './graph.ts';

/** An operation by its WGSL. A is what a call of it says beside its tensors. */
export interface OpDefinition<A> {
  /** Names it in errors and profiles. */
  readonly name: string;
  /**
   * A compute shader with the entry point `main`. Group 0 binds the inputs in order, as `var<storage, read>`, then the
   * output, as `var<storage, read_write>`, and then, if there are `words`, their block, as `var<uniform>`. It may use
   * the text layer.
   */
  readonly wgsl: string;
  /** The shape of the output. Throws where inputs do not fit. */
  shape(inputs: readonly Shape[], attributes: A): Shape;
  /** Of the output. Default f32. */
  readonly dtype?: DType;
  /**
   * The uniform block: whole numbers, and floats by `floatBits`. What changes from step to step belongs in an input
   * instead.
   */
  words?(inputs: readonly Tensor[], output: Tensor, attributes: A): readonly number[];
  /** Numbers for `//: let` lines. */
  tile?(inputs: readonly Tensor[], output: Tensor, attributes: A): Tile;
  /**
   * Workgroups along x, y and z; or how many elements of the output a workgroup computes, as its index
   * `(workgroup_id.y * num_workgroups.x + workgroup_id.x)` counts them.
   */
  readonly workgroups: number | ((inputs: readonly Tensor[], output: Tensor, attributes: A) => readonly number[]);
  /** Arithmetic operations, for the profiler. */
  flop?(inputs: readonly Tensor[], output: Tensor, attributes: A): number;
  /**
   * The gradients of the inputs, given that of the output, in other operations, so that these have derivatives too;
   * undefined where an input needs none or has none. Without it no gradient passes.
   */
  vjp?(gradient: Tensor, context: Context<A>): readonly (Tensor | undefined)[];
}

/** What defineOp makes. */
export type Operation<A> = (inputs: readonly Tensor[], attributes: A) => Tensor;

/** WGSL by the name of its op: pipelines are kept by name. */
const sources = new Map<string, string>();

/**
 * Makes an operation of a shader: a function of tensors and attributes that is differentiable as any other, and is
 * recorded, profiled and checked as any other. See docs/kernels.md.
 * @throws where the bindings are not as they must be, or another operation has the name
 */
export function defineOp<A = undefined>(definition: OpDefinition<A>): Operation<A> {
  const { name, wgsl, words, workgroups } = definition;
  if ((sources.get(name) ?? wgsl) !== wgsl) throw new Error(`defineOp: there is another operation "${name}"`);
  const access = bindingsOf(wgsl, name);
  const count = access.indexOf('read_write');
  const tail = words ? ['read_write', 'uniform'] : ['read_write'];
  if (count < 1 || access.slice(0, count).some(kind => kind !== 'read') || access.slice(count).join() !== tail.join()) {
    throw new Error(
      `defineOp: "${name}" must bind its inputs (read), one output (read_write)${words ? ' and a uniform' : ' and no uniform, as it has no words'}, ` +
        `not ${access.join(', ')}`,
    );
  }
  sources.set(name, wgsl);
  const shader = { name: `op ${name}`, source: wgsl };

  const op: Op<A> = {
    name,
    forward(inputs, attributes) {
      if (inputs.length !== count) throw new Error(`${name} takes ${count} tensors, got ${inputs.length}`);
      const { device } = inputs[0];
      const shape = definition.shape(
        inputs.map(input => input.shape),
        attributes,
      );
      const output = device.empty(shape, definition.dtype, name);
      const inParts = [...inputs, output].find(tensor => tensor.parts);
      if (inParts)
        throw new Error(`${name}: ${inParts} is over the binding limit, which an op of defineOp does not take`);
      const kernel = device.kernel(shader, { tile: definition.tile?.(inputs, output, attributes) });
      const groups =
        typeof workgroups === 'number' ? grid(sizeOf(shape), workgroups) : workgroups(inputs, output, attributes);
      const flop = definition.flop?.(inputs, output, attributes);
      device.dispatch(kernel, [...inputs, output], words?.(inputs, output, attributes) ?? [], groups, flop);
      return output;
    },
    vjp(gradient, context) {
      if (!definition.vjp)
        throw new Error(`${name} has no vjp: no gradient passes to ${shapeText(context.output.shape)}`);
      return definition.vjp(gradient, context);
    },
  };
  return (inputs, attributes) => apply(op, inputs, attributes);
}
