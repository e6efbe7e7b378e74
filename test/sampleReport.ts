import { presetOptions } from '../src/train/abortionPresets.ts';
import { absoluteDeciles, firstFirings } from '../src/train/abortionShadow.ts';
import type { Drop, RunReport } from '../src/train/report.ts';

/** The smallest PNG: one grey pixel. */
export const greyPixel =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==';

/** A made-up run of three stages with noisy falling losses, the given drops, and a picture for each row and column. */
export function sampleReport({
  steps = 400,
  drops = [] as Drop[],
  picture = (_row: number, _column: number): string => greyPixel,
} = {}): RunReport {
  const noise = (i: number, seed: number) => {
    const x = Math.sin(i * 12.9898 + seed * 78.233) * 43758.5453;
    const y = Math.sin(i * 39.346 + seed * 11.135) * 24634.6345;
    return x - Math.floor(x) + (y - Math.floor(y)) - 1;
  };
  const step = Array.from({ length: steps }, (_, i) => i + 1);
  const active = step.map(n => drops.reduce((most, drop) => (n >= drop.effectiveStep ? drop.to : most), 3));
  const terms = [
    { name: 'l2', title: 'L2', weight: 1, from: 0.32, to: 0.031 },
    { name: 'lpips', title: 'LPIPS-like(self)', weight: 0.8, from: 0.62, to: 0.17 },
    { name: 'id', title: 'Identity, five layers', weight: 0.5, from: 2.1, to: 0.9 },
    { name: 'parsing', title: 'Parsing, five layers', weight: 1, from: 1.4, to: 0.42 },
  ];
  const stages = [0, 1, 2].map(stage => {
    const series = terms.map(({ name, from, to }, t) => {
      const floor = to * (1.18 - 0.09 * stage);
      const value = (n: number, i: number) =>
        (floor + (from - floor) * Math.exp((-n / steps) * (4.4 + stage))) * (1 + 0.16 * noise(i, t * 3 + stage));
      return [name, step.map((n, i) => (active[i] > stage ? value(n, i) : Number.NaN))] as const;
    });
    const own = Object.fromEntries(series);
    const total = step.map((_, i) => terms.reduce((sum, { name, weight }) => sum + weight * own[name][i], 0));
    return { total, terms: own };
  });
  const observed = step.map((_, i) => stages[active[i] - 1].total[i]);
  const rows = [
    { label: 'Input', note: 'held out' },
    { label: 'Stage 1' },
    { label: 'Stage 2' },
    { label: 'Stage 3', note: 'the result' },
    { label: 'Mean latent', note: 'the baseline' },
  ];
  return {
    title: 'E2Style in three stages, 32 × 32',
    subtitle: 'Greedy joint training on procedural faces against the generator small32',
    wallSeconds: 274,
    adapter: {
      device: 'llvmpipe (LLVM 15.0.6, 256 bits)',
      driver: 'lavapipe, Mesa 22.3.6',
      features: 'shader-f16, timestamp-query, subgroups',
      speed: '41 GFLOP/s, 11 GB/s, 38 µs a dispatch',
    },
    config: {
      preset: 'start',
      seed: 1,
      steps,
      batch: 8,
      size: 32,
      stages: 3,
      optimizer: { name: 'ranger', lr: 0.001, betas: [0.95, 0.999], k: 6, alpha: 0.5 },
      losses: { l2: 1, lpips: 0.8, id: 0.5, parsing: 1 },
      abort: { preset: 'robust', window: 7 },
      data: { name: 'faces', identities: 4096 },
      out: 'runs/start',
    },
    log: {
      step,
      active,
      msPerStep: step.map((_, i) => (160 + 172 * active[i]) * (1 + 0.05 * noise(i, 99)) * (i === 0 ? 2.6 : 1)),
    },
    terms: terms.map(({ name, title, weight }) => ({ name, title, weight })),
    stages,
    abortion: {
      preset: 'robust',
      options: presetOptions('robust', { window: 7 }),
      drops,
      floorFirings: 0,
      lateFirings: 0,
      firstFirings: firstFirings({ 'paper-relative': presetOptions('paper-relative') }, observed),
      deciles: absoluteDeciles(observed),
    },
    reconstructions: {
      step: steps,
      rows: rows.map((row, r) => ({ ...row, images: Array.from({ length: 8 }, (_, c) => picture(r, c)) })),
    },
    metrics: {
      description: '256 images of 64 identities that the training never saw.',
      resultStage: 3,
      rows: [
        { name: 'L2', better: 'lower', values: [0.0874, 0.0412, 0.0377, 0.0359], std: 0.021 },
        { name: 'LPIPS-like(self)', better: 'lower', values: [0.412, 0.243, 0.228, 0.221], std: 0.048 },
        { name: 'MS-SSIM', better: 'higher', values: [0.391, 0.642, 0.671, 0.68], std: 0.094 },
        { name: 'ID(self)', better: 'higher', values: [0.082, 0.361, 0.402, 0.414], std: 0.151 },
      ].map(({ name, better, values: [baseline, ...own], std }) => ({
        name,
        better: better as 'lower' | 'higher',
        baseline: { mean: baseline, std: std * 1.6 },
        stages: own.map(mean => ({ mean, std })),
      })),
    },
  };
}
