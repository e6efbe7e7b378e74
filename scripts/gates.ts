/**
 * Measures the networks of weights/ against the bounds that they must keep.
 *
 *     npm run gates -- [--count 1000] [--weights DIR] [--json] [--markdown] [--grid FILE.png] [--adapter NAME]
 *
 * Prints a table, or with --json an object; --markdown also puts the table into DIR/README.md; --grid writes 48 samples
 * of the generator. Exit code 1 if a bound is not kept.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { FACE_CLASSES } from '../src/data/faces.ts';
import { tile } from '../src/io/grid.ts';
import { RecognitionNetwork } from '../src/models/arcface.ts';
import { LpipsLike } from '../src/models/lpips.ts';
import { initialize } from '../src/models/module.ts';
import { ParsingUNet } from '../src/models/parsing.ts';
import { presets } from '../src/models/stylegan2/config.ts';
import { Generator } from '../src/models/stylegan2/generator.ts';
import { Device } from '../src/runtime/device.ts';
import type { ShippedSize } from '../src/train/recipes/e2styleNetworks.ts';
import { recognition24 } from '../src/train/recipes/recognition.ts';
import * as measure from './gateMeasures.ts';
import { inBatches, readNetwork, writePng } from './networks.ts';

/** Pairs of the verification protocol, half of them of one person. */
const PAIRS = 2000;

/** One line of the table; without `wanted`, it is there to compare with. */
interface Row {
  readonly network: string;
  readonly what: string;
  readonly value: number;
  readonly wanted?: { readonly atLeast: number } | { readonly atMost: number };
}

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '1000' },
    weights: { type: 'string', default: 'weights' },
    json: { type: 'boolean', default: false },
    markdown: { type: 'boolean', default: false },
    grid: { type: 'string' },
    adapter: { type: 'string' },
  },
});
const count = Number(values.count);
if (!Number.isInteger(count) || count < 1) throw new Error(`--count ${values.count}: give a whole number from 1 on`);
const folder = values.weights;
const device = await Device.open({ adapter: values.adapter });
try {
  const networks = readNetworks();
  const rows = [
    ...(await distanceRows(32, networks)),
    ...(await partRows(32, networks, 0.95)),
    ...(await distanceRows(64, networks)),
    ...(await partRows(64, networks)),
    ...(await recognitionRows(networks)),
  ];
  const parsing = [await parsingScore(32, networks), await parsingScore(64, networks)];
  rows.push(...parsing.map(({ row }) => row));
  if (values.grid) await writeSamples(networks.generators[32], values.grid);
  const passed = rows.every(keeps);
  if (values.json) console.log(JSON.stringify({ adapter: device.adapter.name, count, passed, rows, parsing }, null, 2));
  else console.log(text(rows, parsing));
  if (values.markdown) fillIn(join(folder, 'README.md'), markdown(rows, parsing));
  process.exitCode = passed ? 0 : 1;
} finally {
  device.destroy();
}

type Networks = ReturnType<typeof readNetworks>;

function readNetworks() {
  const recognition = (mode: 'ir' | 'ir_se', file: string) =>
    readNetwork(device, new RecognitionNetwork({ ...recognition24, mode }), { folder, file });
  const generator = (size: ShippedSize) =>
    readNetwork(device, new Generator(presets[`small${size}`]), {
      folder,
      file: `generator-${size}`,
      prefix: 'g_ema.',
    });
  const parser = (size: ShippedSize) =>
    readNetwork(device, new ParsingUNet({ featureScale: 8 }), { folder, file: `parsing-${size}` });
  return {
    generators: { 32: generator(32), 64: generator(64) },
    trunk: readNetwork(device, new LpipsLike(), { folder, file: 'perceptual-32' }),
    parsers: { 32: parser(32), 64: parser(64) },
    recognition: {
      'recognition-24': recognition('ir_se', 'recognition-24'),
      'recognition-metric-24': recognition('ir', 'recognition-metric-24'),
    },
  };
}

/** How far samples are from real faces, beside real from real and untrained from real. */
async function distanceRows(size: ShippedSize, { generators, trunk }: Networks): Promise<Row[]> {
  const network = `generator-${size}`;
  const generator = generators[size];
  const untrained = new Generator(generator.config);
  initialize(untrained, device, { seed: 1 });
  const features = (images: measure.Images) => measure.features(device, trunk, images, count);
  const reference = await features(measure.realImages(device, { size }));
  const from = async (images: measure.Images) => measure.distances(device, await features(images), reference);
  const others = await from(measure.realImages(device, { size, offset: count }));
  const start = await from(measure.samplesOf(device, untrained));
  const own = await from(measure.samplesOf(device, generator));
  return [
    { network, what: 'FID-like(self)', value: own.fid, wanted: { atMost: start.fid / 10 } },
    { network, what: 'FID-like(self), untrained', value: start.fid },
    { network, what: 'FID-like(self), real faces', value: others.fid },
    { network, what: 'KID-like(self)', value: own.kid, wanted: { atMost: start.kid / 10 } },
    { network, what: 'KID-like(self), untrained', value: start.kid },
    { network, what: 'KID-like(self), real faces', value: others.kid },
  ];
}

/** What the parser finds in samples, in a share of them that may be wanted, and in real faces; what is in these. */
async function partRows(size: ShippedSize, { generators, parsers }: Networks, atLeast?: number): Promise<Row[]> {
  const find = (images: measure.Images) => measure.parsedMaps(device, parsers[size], images, { count, size });
  const maps = await find(measure.samplesOf(device, generators[size]));
  const found = measure.foundParts(maps, count);
  const foundInReal = measure.foundParts(await find(measure.realImages(device, { size })), count);
  const labelled = measure.foundParts(await measure.exactMaps(device, { count, size }), count);
  const network = `generator-${size}`;
  const parts = 'skin, mouth and both eyes';
  return [
    { network, what: `${parts} found`, value: found.eyes, ...(atLeast && { wanted: { atLeast } }) },
    { network, what: `${parts} found, by two pixels each`, value: measure.foundParts(maps, count, 2).eyes },
    { network, what: `${parts} found, real faces`, value: foundInReal.eyes },
    { network, what: `${parts} in the exact maps of real faces`, value: labelled.eyes },
    { network, what: `${parts} or glasses found`, value: found.eyesOrGlasses },
    { network, what: `${parts} or glasses found, real faces`, value: foundInReal.eyesOrGlasses },
    { network, what: `${parts} or glasses in the exact maps`, value: labelled.eyesOrGlasses },
  ];
}

async function recognitionRows({ recognition }: Networks): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [network, module] of Object.entries(recognition)) {
    const { accuracy, gap } = await measure.verification(device, module, PAIRS);
    rows.push({ network, what: 'verification accuracy, unseen people', value: accuracy, wanted: { atLeast: 0.95 } });
    rows.push({ network, what: 'mean cosine, same less different', value: gap, wanted: { atLeast: 0.4 } });
  }
  return rows;
}

interface ParsingScore {
  readonly row: Row;
  readonly perClass: Readonly<Record<string, number>>;
}

async function parsingScore(size: ShippedSize, { parsers }: Networks): Promise<ParsingScore> {
  const predicted = await measure.parsedMaps(device, parsers[size], measure.realImages(device, { size }), {
    count,
    size,
  });
  const { mean, perClass } = measure.parsingScore(predicted, await measure.exactMaps(device, { count, size }));
  return {
    row: { network: `parsing-${size}`, what: 'mean IoU, unseen people', value: mean, wanted: { atLeast: 0.75 } },
    perClass: Object.fromEntries(FACE_CLASSES.map((name, i) => [name, perClass[i]])),
  };
}

/** 12 × 4 samples. */
async function writeSamples(generator: Generator, path: string): Promise<void> {
  const { values: images } = await inBatches(device, 48, measure.samplesOf(device, generator));
  await writePng(path, tile(images, [48, 3, measure.SIZE, measure.SIZE], { columns: 12 }));
}

// The table

function keeps({ value, wanted }: Row): boolean {
  if (!wanted) return true;
  return 'atLeast' in wanted ? value >= wanted.atLeast : value <= wanted.atMost;
}

function digits(value: number): string {
  return value.toPrecision(4);
}

function bound({ wanted }: Row): string {
  if (!wanted) return '';
  return 'atLeast' in wanted ? `at least ${wanted.atLeast}` : `at most ${digits(wanted.atMost)}`;
}

/** network, quantity, value, bound, verdict */
function cells(row: Row): string[] {
  const verdict = row.wanted ? (keeps(row) ? 'kept' : 'NOT KEPT') : '';
  return [row.network, row.what, digits(row.value), bound(row), verdict];
}

function iouLine({ row, perClass }: ParsingScore): string {
  const classes = Object.entries(perClass).map(([name, value]) => `${name} ${value.toFixed(2)}`);
  return `IoU of each class by ${row.network}: ${classes.join(', ')}.`;
}

function protocol(): string {
  return (
    `${count} samples (fresh noise, no truncation) against ${count} held-out faces, on ${device.adapter.name}, as they are saved, in 8 bits; features: the ` +
    `last tap of perceptual-32, averaged over pixels (64), of images at 32 pixels. A class is found where the parser marks a pixel of it, the mouth by its inside ` +
    `or either lip; glasses hide eyes, so the exact maps of real faces do not all show both. ` +
    `${PAIRS} pairs of unseen people, 10-fold best threshold.`
  );
}

function text(rows: readonly Row[], parsing: readonly ParsingScore[]): string {
  const table = rows.map(cells);
  const widths = table[0].map((_, i) => Math.max(...table.map(line => line[i].length)));
  const lines = table.map(line =>
    line
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
  return [protocol(), '', ...lines, '', ...parsing.map(iouLine)].join('\n');
}

function markdown(rows: readonly Row[], parsing: readonly ParsingScore[]): string {
  const lines = [['network', 'measured', 'value', 'wanted', ''], Array(5).fill('---'), ...rows.map(cells)];
  const table = lines.map(line => `| ${line.join(' | ')} |`).join('\n');
  return `${protocol()}\n\n${table}\n\n${parsing.map(iouLine).join('\n\n')}`;
}

/** Puts text between the marks of a file. */
function fillIn(path: string, content: string): void {
  const [open, close] = ['<!-- gates -->', '<!-- end of gates -->'];
  const old = readFileSync(path, 'utf8');
  const [start, end] = [old.indexOf(open), old.indexOf(close)];
  if (start < 0 || end < start) throw new Error(`${path}: no line ${open} with a ${close} behind it`);
  writeFileSync(path, `${old.slice(0, start)}${open}\n${content}\n${old.slice(end)}`);
  console.error(path);
}
