import { activationGradient } from '../../runtime/kernels/activation.ts';
import { full } from '../../runtime/kernels/copy.ts';
import * as kernels from '../../runtime/kernels/elementwise.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op, setAccumulation } from '../graph.ts';
import { type Activation, checkedActivation } from './activation.ts';
import { sumProductTo, sumTo } from './reduce.ts';

/** An operand of an elementwise op: a tensor, broadcast as in NumPy, or a number. */
export type Operand = Tensor | number;

// Binary

const addOp: Op<null> = {
  name: 'add',
  half: true,
  forward: ([x, y]) => kernels.binary(x, y, 'x + y'),
  vjp: (g, { inputs: [x, y], needs }) => [
    needs[0] ? sumTo(g, x.shape) : undefined,
    needs[1] ? sumTo(g, y.shape) : undefined,
  ],
};

const subOp: Op<null> = {
  name: 'sub',
  half: true,
  forward: ([x, y]) => kernels.binary(x, y, 'x - y'),
  vjp: (g, { inputs: [x, y], needs }) => [
    needs[0] ? sumTo(g, x.shape) : undefined,
    needs[1] ? neg(sumTo(g, y.shape)) : undefined,
  ],
};

const mulOp: Op<null> = {
  name: 'mul',
  half: true,
  forward: ([x, y]) => kernels.binary(x, y, 'x * y'),
  vjp: (g, { inputs: [x, y], needs }) => [
    needs[0] ? sumProductTo(g, y, x.shape) : undefined,
    needs[1] ? sumProductTo(g, x, y.shape) : undefined,
  ],
};

const divOp: Op<null> = {
  name: 'div',
  forward: ([x, y]) => kernels.binary(x, y, 'x / y'),
  vjp: (g, { inputs: [x, y], output, needs }) => {
    const gx = div(g, y);
    return [needs[0] ? sumTo(gx, x.shape) : undefined, needs[1] ? neg(sumProductTo(gx, output, y.shape)) : undefined];
  },
};

/** x + y */
export function add(x: Tensor, y: Operand): Tensor {
  return typeof y === 'number' ? affine(x, 1, y) : apply(addOp, [x, y], null);
}

/** x - y */
export function sub(x: Tensor, y: Operand): Tensor {
  return typeof y === 'number' ? affine(x, 1, -y) : apply(subOp, [x, y], null);
}

/** x * y, element by element */
export function mul(x: Tensor, y: Operand): Tensor {
  return typeof y === 'number' ? affine(x, y, 0) : apply(mulOp, [x, y], null);
}

/** x / y, element by element */
export function div(x: Tensor, y: Operand): Tensor {
  return typeof y === 'number' ? affine(x, 1 / y, 0) : apply(divOp, [x, y], null);
}

/** -x */
export function neg(x: Tensor): Tensor {
  return affine(x, -1, 0);
}

const affineOp: Op<{ a: number; b: number }> = {
  name: 'affine',
  half: true,
  forward: ([x], { a, b }) => kernels.unary(x, 'a * x + b', a, b),
  vjp: (g, { attributes: { a } }) => [a === 1 ? g : affine(g, a, 0)],
};

/** a x + b with numbers a and b */
export function affine(x: Tensor, a: number, b: number): Tensor {
  return apply(affineOp, [x], { a, b });
}

const multiplyAddOp: Op<null> = {
  name: 'multiplyAdd',
  half: true,
  forward: ([x, y, z]) => kernels.ternary(x, y, z, 'x * y + z'),
  vjp: (g, { inputs: [x, y, z], needs }) => [
    needs[0] ? sumProductTo(g, y, x.shape) : undefined,
    needs[1] ? sumProductTo(g, x, y.shape) : undefined,
    needs[2] ? sumTo(g, z.shape) : undefined,
  ],
};

/** x y + z with broadcasting */
export function multiplyAdd(x: Tensor, y: Tensor, z: Tensor): Tensor {
  return apply(multiplyAddOp, [x, y, z], null);
}

// Unary

/** A unary op from its WGSL expression in x, a and b, and its derivative in terms of the input and the output. */
function unaryOp(
  name: string,
  expression: string,
  derivative: (x: Tensor, y: Tensor, a: number, b: number) => Tensor,
): Op<{ a: number; b: number }> {
  return {
    name,
    forward: ([x], { a, b }) => kernels.unary(x, expression, a, b),
    vjp: (g, { inputs: [x], output, attributes: { a, b } }) => [mul(g, derivative(x, output, a, b))],
  };
}

function unaryFunction(
  name: string,
  expression: string,
  derivative: (x: Tensor, y: Tensor) => Tensor,
): (x: Tensor) => Tensor {
  const op = unaryOp(name, expression, derivative);
  return x => apply(op, [x], { a: 0, b: 0 });
}

/** A piecewise linear function's derivative: constant almost everywhere, so that nothing flows through it. */
function step(x: Tensor, expression: string, a = 0, b = 0): Tensor {
  return kernels.unary(x, expression, a, b);
}

/** eˣ */
export const exp = unaryFunction('exp', 'exp(x)', (_, y) => y);
/** ln x */
export const log = unaryFunction('log', 'log(x)', x => reciprocal(x));
/** 1 / x */
export const reciprocal: (x: Tensor) => Tensor = unaryFunction('reciprocal', '1.0 / x', (_, y) => neg(square(y)));
/** √x */
export const sqrt = unaryFunction('sqrt', 'sqrt(x)', (_, y) => affine(reciprocal(y), 0.5, 0));
/** 1 / √x */
export const rsqrt = unaryFunction('rsqrt', 'inverseSqrt(x)', (x, y) => affine(div(y, x), -0.5, 0));
/** x² */
export const square = unaryFunction('square', 'x * x', x => affine(x, 2, 0));
/** |x|, with derivative 0 at 0 */
export const abs = unaryFunction('abs', 'abs(x)', x => step(x, 'sign(x)'));
/** 1 / (1 + e⁻ˣ) */
export const sigmoid = unaryFunction('sigmoid', '1.0 / (1.0 + exp(-x))', (_, y) => mul(y, affine(y, -1, 1)));
/** tanh x; the argument is clamped where f32 is saturated, because some drivers overflow */
export const tanh = unaryFunction('tanh', 'tanh(clamp(x, ELEMENT(-15.0), ELEMENT(15.0)))', (_, y) =>
  affine(square(y), -1, 1),
);
/** ln(1 + eˣ), as max(x, 0) + ln(1 + e^-|x|) */
export const softplus = unaryFunction('softplus', 'max(x, ELEMENT(0.0)) + log(1.0 + exp(-abs(x)))', x => sigmoid(x));

const powOp = unaryOp('pow', 'pow(x, a)', (x, _, a) => affine(pow(x, a - 1), a, 0));

/** xᵃ for a number a; x must not be negative unless a is a whole number */
export function pow(x: Tensor, exponent: number): Tensor {
  if (exponent === 0) return affine(x, 0, 1);
  if (exponent === 1) return x;
  if (exponent === 0.5) return sqrt(x);
  if (exponent === -0.5) return rsqrt(x);
  // WGSL's pow() is not defined for negative x.
  if (Number.isInteger(exponent)) {
    if (exponent < 0) return reciprocal(pow(x, -exponent));
    const even = square(pow(x, Math.floor(exponent / 2)));
    return exponent % 2 === 0 ? even : mul(even, x);
  }
  return apply(powOp, [x], { a: exponent, b: 0 });
}

const clampOp: Op<{ a: number; b: number }> = {
  ...unaryOp('clamp', 'clamp(x, a, b)', (x, _, a, b) =>
    step(x, 'select(ELEMENT(0.0), ELEMENT(1.0), (x >= a) & (x <= b))', a, b),
  ),
  half: true,
};

/** x limited to [min, max]; no gradient flows where it is cut */
export function clamp(x: Tensor, { min = -3.4e38, max = 3.4e38 }: { min?: number; max?: number }): Tensor {
  return apply(clampOp, [x], { a: min, b: max });
}

/** 1 where x > y, else 0: a constant, no gradient flows through it. */
export function greater(x: Tensor, y: Operand): Tensor {
  return typeof y === 'number'
    ? kernels.unary(x, 'select(ELEMENT(0.0), ELEMENT(1.0), x > a)', y)
    : kernels.binary(x, y, 'select(ELEMENT(0.0), ELEMENT(1.0), x > y)');
}

// Activations

/** g · (a if y ≤ 0 else 1) · gain: the derivative of the leaky ReLU, linear in g with a frozen mask. */
const leakyMaskOp: Op<Required<Activation>> = {
  name: 'leakyMask',
  half: true,
  forward: ([g, y], { slope, gain }) =>
    kernels.binary(g, y, `select(x * a, x, y > ELEMENT(0.0)) * ${literal(gain)}`, slope),
  vjp: (v, { inputs: [, y], attributes }) => [apply(leakyMaskOp, [v, y], attributes), undefined],
};

/** The gradient g of a leaky ReLU in its input, given its output or anything of the same sign. */
export function leakyMask(g: Tensor, y: Tensor, attributes: Required<Activation>): Tensor {
  return apply(leakyMaskOp, [g, y], attributes);
}

const leakyReluOp: Op<Required<Activation>> = {
  name: 'leakyRelu',
  half: true,
  forward: ([x], { slope, gain }) => kernels.unary(x, 'select(x * a, x, x > ELEMENT(0.0)) * b', slope, gain),
  vjp: (g, { output, attributes }) => [leakyMask(g, output, attributes)],
};

/** gain · (x if x > 0 else slope · x) */
export function leakyRelu(x: Tensor, activation: Activation): Tensor {
  return apply(leakyReluOp, [x], checkedActivation(activation));
}

/** max(x, 0) */
export function relu(x: Tensor): Tensor {
  return leakyRelu(x, { slope: 0 });
}

const biasedLeakyReluOp: Op<Required<Activation>> = {
  name: 'biasedLeakyRelu',
  half: true,
  forward: ([x, b], { slope, gain }) =>
    kernels.binary(x, b, `select((x + y) * a, x + y, x + y > ELEMENT(0.0)) * ${literal(gain)}`, slope),
  vjp: (g, { inputs: [, b], output, attributes, needs }) => {
    if (needs[1] && !isRecording() && isPerChannel(b, g)) {
      const { input, sums } = activationGradient(g, output, attributes);
      return [input, sums.view(b.shape)];
    }
    const gx = leakyMask(g, output, attributes);
    return [gx, needs[1] ? sumTo(gx, b.shape) : undefined];
  },
};

/** leakyRelu(x + bias) in one pass, the bias broadcast: StyleGAN2's fused bias and activation (slope 0.2, gain √2). */
export function biasedLeakyRelu(
  x: Tensor,
  bias: Tensor,
  { slope = 0.2, gain = Math.SQRT2 }: Partial<Activation> = {},
): Tensor {
  return apply(biasedLeakyReluOp, [x, bias], checkedActivation({ slope, gain }));
}

const preluMaskOp: Op<null> = {
  name: 'preluMask',
  forward: ([g, x, slope]) => kernels.ternary(g, x, slope, 'select(x * z, x, y > ELEMENT(0.0))'),
  vjp: (v, { inputs: [g, x, slope], needs }) => [
    needs[0] ? apply(preluMaskOp, [v, x, slope], null) : undefined,
    undefined,
    needs[2] ? sumTo(apply(negativePartOp, [mul(v, g), x], null), slope.shape) : undefined,
  ],
};

/** x where y ≤ 0, else 0: linear in x with a frozen mask. */
const negativePartOp: Op<null> = {
  name: 'negativePart',
  forward: ([x, y]) => kernels.binary(x, y, 'select(x, ELEMENT(0.0), y > ELEMENT(0.0))'),
  vjp: (v, { inputs: [, y] }) => [apply(negativePartOp, [v, y], null), undefined],
};

const preluOp: Op<null> = {
  name: 'prelu',
  forward: ([x, slope]) => kernels.binary(x, slope, 'select(x * y, x, x > ELEMENT(0.0))'),
  vjp: (g, { inputs: [x, slope], needs }) => {
    if (needs[1] && !isRecording() && isPerChannel(slope, g)) {
      const { input, sums } = activationGradient(g, x, { slopes: slope });
      return [input, sums.view(slope.shape)];
    }
    return [
      needs[0] ? apply(preluMaskOp, [g, x, slope], null) : undefined,
      needs[1] ? sumTo(apply(negativePartOp, [mul(g, x), x], null), slope.shape) : undefined,
    ];
  },
};

/** Whether values are one a channel of x [N, C, H, W], which can be bound as a whole. */
function isPerChannel(values: Tensor, x: Tensor): boolean {
  return x.rank === 4 && !x.parts && values.size === x.shape[1] && values.shape.at(-3) === x.shape[1];
}

/** x if x > 0 else slope · x, with learned slopes broadcast against x ([1, C, 1, 1] for one a channel) */
export function prelu(x: Tensor, slope: Tensor): Tensor {
  return apply(preluOp, [x, slope], null);
}

/** A number as a WGSL f32 literal. */
function literal(value: number): string {
  return `f32(${Math.fround(value)})`;
}

setAccumulation({
  add,
  ones: like => full(like.device, like.shape, 1),
  zeros: like => full(like.device, like.shape, 0),
});
