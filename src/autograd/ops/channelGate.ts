import * as kernels from '../../runtime/kernels/channelGate.ts';
import { binary, ternary } from '../../runtime/kernels/elementwise.ts';
import { maxMean as findMaxMean, maxMeanGradient } from '../../runtime/kernels/maxMean.ts';
import { reduce, reduceProduct } from '../../runtime/kernels/reduce.ts';
import { sameShape } from '../../runtime/shape.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { apply, isRecording, type Op, stopGradient } from '../graph.ts';
import { composedVjp } from './composedVjp.ts';
import { mul, multiplyAdd, relu, sigmoid } from './elementwise.ts';
import { linear } from './linear.ts';
import { maxMean } from './maxMean.ts';
import { mean, sum } from './reduce.ts';
import { overPixels, reshape } from './shape.ts';

export interface ChannelGateOptions extends kernels.GateWeights {
  /** Pool the maximum too, as CBAM does. Default: the mean alone. */
  readonly withMax?: boolean;
  /** [N, C, H, W] that is added to the gated map. */
  readonly shortcut?: Tensor;
}

/** Which input is what; the pools, the gate and the places of the maxima are constants that the vjp needs. */
const NAMES = ['x', 'w1', 'w2', 'b1', 'b2', 'shortcut', 'pooled', 'gate', 'positions'] as const;
type Named = { [name in (typeof NAMES)[number]]?: Tensor };
interface Attributes {
  readonly names: readonly (keyof Named)[];
}

function named(inputs: readonly Tensor[], { names }: Attributes): Named {
  return Object.fromEntries(names.map((name, i) => [name, inputs[i]]));
}

const channelGateOp: Op<Attributes> = {
  name: 'channelGate',
  forward: (inputs, attributes) => {
    const { x, gate, shortcut } = named(inputs, attributes);
    const factor = overPixels(gate!);
    return shortcut ? ternary(x!, factor, shortcut, 'x * y + z') : binary(x!, factor, 'x * y');
  },
  vjp: (g, { inputs, needs, attributes }) => {
    const { names } = attributes;
    const { x, w1, w2, b1, b2, pooled, gate, positions } = named(inputs, attributes);
    if (isRecording()) {
      return composedVjp(g, { inputs, needs }, (...all) => {
        const { x, w1, w2, b1, b2, shortcut } = named(all, attributes);
        return composed(x!, { w1: w1!, w2: w2!, b1, b2, shortcut, withMax: positions !== undefined });
      });
    }
    const needsAny = (...some: (keyof Named)[]) => names.some((name, i) => needs[i] && some.includes(name));
    const results: Named = { shortcut: g };
    if (needsAny('x', 'w1', 'w2', 'b1', 'b2')) {
      const pixels = x!.shape[2] * x!.shape[3];
      const inGate = reduceProduct(g, x!, [2, 3]).view(gate!.shape);
      const all = kernels.channelGateGradient(inGate, gate!, pooled!, { w1: w1!, w2: w2!, b1, b2 }, pixels);
      if (needsAny('w1', 'w2', 'b1', 'b2')) Object.assign(results, all.weights());
      if (needsAny('x')) {
        results.x = positions
          ? maxMeanGradient(all.pooled, positions, x!.shape, 'pixels', { scale: 1, gated: { u: g, gate: gate! } })
          : ternary(g, overPixels(gate!), overPixels(all.pooled.view(gate!.shape)), 'x * y + z');
      }
    }
    return names.map((name, i) => (needs[i] ? results[name] : undefined));
  },
};

function composed(x: Tensor, { w1, w2, b1, b2, withMax, shortcut }: ChannelGateOptions): Tensor {
  const [n, c] = x.shape;
  const pooled = withMax ? reshape(maxMean(x, 'pixels'), [2 * n, c]) : reshape(mean(x, { axes: [2, 3] }), [n, c]);
  const each = linear(relu(linear(pooled, w1, b1)), w2, b2);
  const gate = overPixels(sigmoid(sum(reshape(each, [-1, n, c]), { axes: [0] })));
  if (!shortcut) return mul(x, gate);
  return multiplyAdd(x, gate, shortcut);
}

/**
 * x [N, C, H, W] with every channel scaled by a gate in (0, 1), plus the shortcut. The gate is σ(MLP(mean x)), as in
 * squeeze and excitation (Hu et al. 2018), or σ(MLP(max x) + MLP(mean x)), as in CBAM (Woo et al. 2018), pooled over
 * the pixels; MLP(m) = w2 relu(w1 m + b1) + b2 with w1 [H, C] and w2 [C, H]. Three passes forward, four back.
 */
export function channelGate(x: Tensor, options: ChannelGateOptions): Tensor {
  const { w1, w2, b1, b2, withMax = false, shortcut } = options;
  const [n, c] = x.shape;
  const fits = w1.size === w2.size && w1.shape[1] === c && w2.shape[0] === c;
  const biasesFit = b1?.size === (b2 && w1.shape[0]) && b2?.size === (b1 && c);
  if (!fits || !biasesFit || (shortcut && !sameShape(shortcut.shape, x.shape))) {
    const others = `weights ${w1} and ${w2}, biases ${b1} and ${b2}, shortcut ${shortcut}`;
    throw new Error(`channelGate: ${others} do not fit ${x} and one another`);
  }
  if (x.parts || w1.shape[0] * (withMax ? 2 : 1) > kernels.MAX_HIDDEN) return composed(x, options);
  const source = stopGradient(x);
  const found = withMax ? findMaxMean(source, 'pixels') : undefined;
  const pooled = found?.values ?? reduce(source, [2, 3], 'sum', (n * c) / x.size).view([1, n, c]);
  const gate = kernels.channelGate(pooled, { w1, w2, b1, b2 });
  const all: Named = { x, w1, w2, b1, b2, shortcut, pooled, gate, positions: found?.positions };
  const names = NAMES.filter(name => all[name]);
  return apply(
    channelGateOp,
    names.map(name => all[name]!),
    { names },
  );
}
