import { stat } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { printable, UserError } from '../io/errors.ts';
import { openFolder } from '../io/files.ts';
import { byteCount, elementCount } from '../io/storedTensor.ts';
import { type Foreign, KINDS } from '../models/foreign/kinds.ts';
import { readForeign } from '../models/foreign/read.ts';
import { foreignToSafetensors, foreignToTorch, LAYOUTS } from '../models/foreign/write.ts';
import type { Verb } from './main.ts';
import { refuseExisting } from './outputFile.ts';
import { parseChoice } from './values.ts';

export const verb: Verb = {
  usage: 'convert IN [OUT.safetensors|OUT.pt] [--layout rosinality|nvlabs] [--force]',
  about: [
    'Says what a file of weights is, and writes it for wgrad or for PyTorch. IN: .pt or .pth of PyTorch (StyleGAN2 of',
    "rosinality, PTI's generators, pSp, e4e, ReStyle, E2Style, HyperStyle, ArcFace, CurricularFace, CelebAMask-HQ",
    "parsing, LPIPS, torchvision's AlexNet, VGG-16, SqueezeNet, ResNet-34 and Inception-v3, pytorch-fid's, MoCo v2,",
    "InterFaceGAN, GANSpace), .pkl of NVlabs, .npy, .npz, or .safetensors of wgrad's. Nothing in a file is executed.",
    '--layout nvlabs names the StyleGAN2 in OUT.pt as NVlabs does; --force replaces an OUT that is there.',
  ].join('\n'),
  async run(args) {
    const { values, positionals } = parseArgs({
      args,
      allowPositionals: true,
      options: { layout: { type: 'string', default: 'rosinality' }, force: { type: 'boolean', default: false } },
    });
    const [input, output, ...more] = positionals;
    if (input === undefined || more.length > 0) throw new UserError('convert: name one file to read, and one to write');
    const write = output === undefined ? undefined : writer(output, values.layout);
    if (output !== undefined && resolve(input) === resolve(output)) {
      throw new UserError(`convert: ${output} is the file that is read; write to another one`);
    }
    if (output !== undefined && !values.force) await refuseExisting([output], 'name another file');
    const foreign = await readForeign(input);
    console.log(describe(input, foreign));
    if (output === undefined || !write) return 0;
    const folder = await openFolder(dirname(output));
    await folder.write(basename(output), write(foreign));
    console.log(`\nwrote ${output}, ${megabytes((await stat(output)).size)} MB`);
    return 0;
  },
};

/** What makes the pieces of OUT. @throws UserError for a name or layout that is not possible */
function writer(output: string, layout: string): (foreign: Foreign) => AsyncGenerator<Uint8Array> {
  const names = parseChoice('--layout', layout, LAYOUTS);
  if (/\.safetensors$/i.test(output)) {
    if (names !== 'rosinality') throw new UserError(`--layout ${names}: is for OUT.pt; safetensors are wgrad's`);
    return foreignToSafetensors;
  }
  if (/\.pth?$/i.test(output)) return foreign => foreignToTorch(foreign, { layout: names });
  throw new UserError(`convert: ${output} ends neither in .safetensors nor in .pt`);
}

/** What the file is, a line for each of its parts, and what was left out. */
function describe(input: string, { kind, about, tensors, metadata, leftOut }: Foreign): string {
  const parts = new Map<string, { tensors: number; values: number; bytes: number; types: Set<string> }>();
  for (const [key, tensor] of tensors) {
    const [name] = key.split('.');
    const part = parts.get(name) ?? { tensors: 0, values: 0, bytes: 0, types: new Set() };
    part.tensors++;
    part.values += elementCount(tensor.shape);
    part.bytes += byteCount(tensor);
    part.types.add(tensor.dtype);
    parts.set(name, part);
  }
  const rows = [...parts].map(([name, part]) => [
    name,
    `${part.tensors}`,
    part.values.toLocaleString('en'),
    megabytes(part.bytes),
    [...part.types].join(' '),
  ]);
  const lines = [`${input}: ${KINDS[kind]}${about ? `: ${about}` : ''}`, ''];
  lines.push(...table([['part', 'tensors', 'values', 'MB', 'types'], ...rows]));
  for (const [key, text] of Object.entries(metadata)) {
    lines.push(`${key}: ${text.length > 80 ? `${text.slice(0, 80)}…` : text}`);
  }
  for (const [name, count] of leftOut) lines.push(`left out: ${name}, ${count} tensor${count === 1 ? '' : 's'}`);
  return lines.map(printable).join('\n');
}

/** Rows of cells, the first and last column to the left, the others to the right. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0].map((_, i) => Math.max(...rows.map(row => row[i].length)));
  const aligned = (cell: string, i: number) =>
    i === 0 || i === widths.length - 1 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]);
  return rows.map(row => row.map(aligned).join('  ').trimEnd());
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e6 ? 3 : 1);
}
