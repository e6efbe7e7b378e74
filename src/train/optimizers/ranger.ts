import centralizeSource from '../../../shaders/centralize_gradient.wgsl';
import source from '../../../shaders/ranger.wgsl';
import type { Module } from '../../models/module.ts';
import { floatBits, grid } from '../../runtime/device.ts';
import { collectText, vectorText, workgroupFor } from '../../runtime/kernels/vector.ts';
import type { Tensor } from '../../runtime/tensor.ts';
import { type Chunk, decayOf, Optimizer } from './optimizer.ts';

const CENTRALIZE = { name: 'centralize_gradient', source: centralizeSource };
const RANGER = { name: 'ranger', source };

/** What one dispatch centralises: rows of one chunk whose length four divides (`lanes` = 4), or the others. */
interface Rows {
  /** u32 [rows, 2]: first element and length of each row, both counted in `lanes` elements. */
  readonly table: Tensor;
  readonly lanes: 1 | 4;
  /** Length of the longest row, counted likewise. */
  readonly longest: number;
  /** Of all rows. */
  readonly elements: number;
}

export interface RangerOptions {
  /** Rates of the two averages. Default [0.95, 0.999]. */
  readonly betas?: readonly [number, number];
  readonly epsilon?: number;
  /** Lookahead: how far the slow copy goes towards the parameters, and every how many steps. Default 0.5 and 6. */
  readonly alpha?: number;
  readonly period?: number;
  /** The adaptive branch is taken where RAdam's N is above this. Default 5. */
  readonly threshold?: number;
}

/**
 * Ranger: RAdam (Liu et al. 2020), Lookahead (Zhang et al. 2019) and gradient centralisation (Yong et al. 2020), as pSp
 * has it.
 */
export class Ranger extends Optimizer {
  private readonly words: readonly number[];
  private readonly rows: ReadonlyMap<Chunk, readonly Rows[]>;

  constructor(
    module: Module,
    { betas = [0.95, 0.999], epsilon = 1e-5, alpha = 0.5, period = 6, threshold = 5 }: RangerOptions = {},
  ) {
    const [beta1, beta2] = betas;
    super(module, ['m', 'v', 'slow'], { beta1, beta2 });
    const longest = 2 / (1 - beta2) - 1;
    const decay2 = decayOf(beta2);
    const floats = [alpha, beta1, beta2, 1 - beta1, 1 - beta2, epsilon, threshold, longest, decay2];
    this.words = [period, ...[...floats, longest - 2 / decay2].map(floatBits)];
    this.rows = new Map(this.chunks.map(chunk => [chunk, this.rowsOf(chunk)]));
  }

  private rowsOf({ entries }: Chunk): Rows[] {
    const found: Record<1 | 4, [first: number, length: number][]> = { 1: [], 4: [] };
    for (const { parameter, offset, size, row } of entries) {
      if (parameter.shape.length < 2) continue;
      const { lanes } = vectorText(row);
      for (let at = 0; at < size; at += row) found[lanes].push([(offset + at) / lanes, row / lanes]);
    }
    return ([4, 1] as const)
      .filter(lanes => found[lanes].length > 0)
      .map(lanes => {
        const rows = found[lanes];
        const lengths = rows.map(([, length]) => length);
        return {
          table: this.device.keep(this.device.tensor(rows.flat(), [rows.length, 2], 'u32', 'rows to centralise')),
          lanes,
          longest: lengths.reduce((most, length) => Math.max(most, length)),
          elements: lanes * lengths.reduce((sum, length) => sum + length),
        };
      });
  }

  protected update(chunk: Chunk, rate: Tensor): void {
    const { device } = this;
    const { parameters, gradient, state, owners } = chunk;
    for (const { table, lanes, longest, elements } of this.rows.get(chunk)!) {
      const text = { ...vectorText(lanes).text, COLLECT: collectText(lanes), LANE_COUNT: `${lanes}.0` };
      const kernel = device.kernel(CENTRALIZE, { text, constants: { WORKGROUP: workgroupFor(device, longest) } });
      const count = table.shape[0];
      device.dispatch(kernel, [table, gradient], [count], grid(count, 1), 2 * elements);
    }
    const { quads, groups } = this.quads(chunk);
    const moments = [state.get('m')!, state.get('v')!, state.get('slow')!];
    const bindings = [this.progress, owners, rate, gradient, ...moments, parameters];
    device.dispatch(device.kernel(RANGER), bindings, [quads, ...this.words], groups, 13 * parameters.size);
  }

  override release(): void {
    super.release();
    for (const { table } of [...this.rows.values()].flat()) this.device.discard(table);
  }
}
