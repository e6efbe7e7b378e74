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
    ...(await distanceRows('generator-32', networks.generator, networks.trunk)),
    ...(await partRows(networks)),
    ...(await distanceRows('generator-64', networks.generator64, networks.trunk)),
    ...(await recognitionRows(networks)),
  ];
  const { row, perClass } = await parsingRow(networks);
  rows.push(row);
  if (values.grid) await writeSamples(networks.generator, values.grid);
  const passed = rows.every(keeps);
  if (values.json)
    console.log(JSON.stringify({ adapter: device.adapter.name, count, passed, rows, perClass }, null, 2));
  else console.log(text(rows, perClass));
  if (values.markdown) fillIn(join(folder, 'README.md'), markdown(rows, perClass));
  process.exitCode = passed ? 0 : 1;
} finally {
  device.destroy();
}

type Networks = ReturnType<typeof readNetworks>;

function readNetworks() {
  const recognition = (mode: 'ir' | 'ir_se', file: string) =>
    readNetwork(device, new RecognitionNetwork({ ...recognition24, mode }), { folder, file });
  const generator = (preset: 'small32' | 'small64', file: string) =>
    readNetwork(device, new Generator(presets[preset]), { folder, file, prefix: 'g_ema.' });
  return {
    generator: generator('small32', 'generator-32'),
    generator64: generator('small64', 'generator-64'),
    trunk: readNetwork(device, new LpipsLike(), { folder, file: 'perceptual-32' }),
    parser: readNetwork(device, new ParsingUNet({ featureScale: 8 }), { folder, file: 'parsing-32' }),
    recognition: {
      'recognition-24': recognition('ir_se', 'recognition-24'),
      'recognition-metric-24': recognition('ir', 'recognition-metric-24'),
    },
  };
}

/** How far samples are from real faces, beside real from real and untrained from real. */
async function distanceRows(network: string, generator: Generator, trunk: LpipsLike): Promise<Row[]> {
  const { config } = generator;
  const untrained = new Generator(config);
  initialize(untrained, device, { seed: 1 });
  const features = (images: measure.Images) => measure.features(device, trunk, images, count);
  const reference = await features(measure.realImages(device, { size: config.size }));
  const from = async (images: measure.Images) => measure.distances(device, await features(images), reference);
  const others = await from(measure.realImages(device, { size: config.size, offset: count }));
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

/** What the parser, which is of 32 pixels, finds in samples and in real faces, and what is in these. */
async function partRows({ generator, parser }: Networks): Promise<Row[]> {
  const find = async (images: measure.Images) => measure.parsedMaps(device, parser, images, count);
  const maps = await find(measure.samplesOf(device, generator));
  const found = measure.foundParts(maps);
  const foundInReal = measure.foundParts(await find(measure.realImages(device)));
  const labelled = measure.foundParts(await measure.exactMaps(device, count));
  const network = 'generator-32';
  const parts = 'skin, mouth and both eyes';
  return [
    { network, what: `${parts} found`, value: found.eyes, wanted: { atLeast: 0.95 } },
    { network, what: `${parts} found, by two pixels each`, value: measure.foundParts(maps, 2).eyes },
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

async function parsingRow({ parser }: Networks): Promise<{ row: Row; perClass: Record<string, number> }> {
  const predicted = await measure.parsedMaps(device, parser, measure.realImages(device), count);
  const { mean, perClass } = measure.parsingScore(predicted, await measure.exactMaps(device, count));
  return {
    row: { network: 'parsing-32', what: 'mean IoU, unseen people', value: mean, wanted: { atLeast: 0.75 } },
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

function iouLine(perClass: Record<string, number>): string {
  const classes = Object.entries(perClass).map(([name, value]) => `${name} ${value.toFixed(2)}`);
  return `IoU of each class: ${classes.join(', ')}.`;
}

function protocol(): string {
  return (
    `${count} samples (fresh noise, no truncation) against ${count} held-out faces, on ${device.adapter.name}, as they are saved, in 8 bits; features: the ` +
    `last tap of perceptual-32, averaged over pixels (64), of images at 32 pixels. A class is found where the parser marks a pixel of it, the mouth by its inside ` +
    `or either lip; glasses hide eyes, so the exact maps of real faces do not all show both. ` +
    `${PAIRS} pairs of unseen people, 10-fold best threshold.`
  );
}

function text(rows: readonly Row[], perClass: Record<string, number>): string {
  const table = rows.map(cells);
  const widths = table[0].map((_, i) => Math.max(...table.map(line => line[i].length)));
  const lines = table.map(line =>
    line
      .map((cell, i) => cell.padEnd(widths[i]))
      .join('  ')
      .trimEnd(),
  );
  return [protocol(), '', ...lines, '', iouLine(perClass)].join('\n');
}

function markdown(rows: readonly Row[], perClass: Record<string, number>): string {
  const lines = [['network', 'measured', 'value', 'wanted', ''], Array(5).fill('---'), ...rows.map(cells)];
  const table = lines.map(line => `| ${line.join(' | ')} |`).join('\n');
  return `${protocol()}\n\n${table}\n\n${iouLine(perClass)}`;
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
