/** The memory of a step's temporaries: how much, and a picture of the plan. */
import type { Device } from '../../runtime/device.ts';
import { largest } from '../../runtime/memoryPlan.ts';
import type { Program } from '../../runtime/program.ts';
import type { Command } from '../../runtime/stream.ts';
import { escapeHtml, formatBytes } from '../report/html.ts';

type Planned = readonly [name: string, program: Program<unknown>];

/** In bytes. Programs run one at a time in the same buffers, so the largest decides. */
export interface MemoryUse {
  /** What the plans take. */
  readonly planned: number;
  /** What is in use at one time, at the most: no plan takes less. */
  readonly needed: number;
  /** All of the device's buffers: temporaries, parameters, optimiser state, data. */
  readonly reserved: number;
}

export function memoryUse(device: Device, programs: readonly Planned[]): MemoryUse {
  return {
    planned: arenaOf(programs).reduce((sum, bytes) => sum + bytes, 0),
    needed: Math.max(0, ...programs.map(([, { plan }]) => plan.needed)),
    reserved: device.memory.reservedBytes,
  };
}

/** The sizes of the buffers that the programs share. */
function arenaOf(programs: readonly Planned[]): number[] {
  return largest(programs.map(([, { plan }]) => plan.buffers));
}

const [WIDTH, HEIGHT] = [1200, 560];
const [LEFT, TOP, GAP] = [84, 34, 10];
/** Lower rectangles, in pixels, are left out: thousands of them cannot be seen. */
const LEAST_HEIGHT = 0.05;
/** Of a letter, on average. */
const LETTER = 6.6;
/** Groups with less of all bytes times commands have no colour of their own. */
const LEAST_GROUP = 0.002;
/** Okabe and Ito's colours, for the modules that take most. */
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#b8a800', '#7a5195'];
const OTHER = '#9aa0a8';

/**
 * The plan as SVG. Across: the commands in their order, one program behind the other. Down: the addresses, one buffer
 * below the other. A rectangle is a temporary from its first to its last use, in the colour of the module that made it,
 * paler in the backward pass; its tooltip says what it is.
 */
export function memoryPicture(programs: readonly Planned[]): string {
  const arena = arenaOf(programs);
  const total = arena.reduce((sum, bytes) => sum + bytes, 0);
  const commands = programs.reduce((sum, [, program]) => sum + program.commands.length, 0);
  const scaleX = (WIDTH - LEFT) / Math.max(1, commands);
  const scaleY = (HEIGHT - GAP * Math.max(0, arena.length - 1)) / Math.max(1, total);
  const tops = arena.map((_, i) => TOP + i * GAP + scaleY * arena.slice(0, i).reduce((sum, bytes) => sum + bytes, 0));
  const colours = coloursOf(programs);
  const parts: string[] = arena.map((bytes, i) => {
    const [y, height] = [tops[i], scaleY * bytes];
    const label = `<text x="${LEFT - 8}" y="${round(y + height / 2 + 4)}" class="end">${formatBytes(bytes)}</text>`;
    return `<rect class="buffer" x="${LEFT}" y="${round(y)}" width="${WIDTH - LEFT}" height="${round(height)}"/>${label}`;
  });
  let before = 0;
  for (const [name, program] of programs) {
    const x = LEFT + before * scaleX;
    parts.push(`<path d="M${round(x)} ${TOP - 6}V${HEIGHT + TOP}"/>`);
    const fits = program.commands.length * scaleX > LETTER * name.length;
    if (fits) parts.push(`<text x="${round(x + 4)}" y="${TOP - 10}">${escapeHtml(name)}</text>`);
    program.lifetimes.forEach(({ bytes, first, last }, i) => {
      if (bytes * scaleY < LEAST_HEIGHT) return;
      const { buffer, offset } = program.plan.places[i];
      const maker = program.commands[first];
      const box = [x + first * scaleX, tops[buffer] + offset * scaleY, (last - first + 1) * scaleX, bytes * scaleY];
      const [left, top, width, height] = box.map(round);
      const opacity = labelOf(maker)?.backward ? 0.55 : 0.9;
      const text = `${formatBytes(bytes)} by ${describe(maker)}, commands ${first} to ${last}`;
      parts.push(
        `<rect x="${left}" y="${top}" width="${width}" height="${height}" fill="${colours.get(groupOf(maker)) ?? OTHER}" ` +
          `fill-opacity="${opacity}"><title>${escapeHtml(text)}</title></rect>`,
      );
    });
    before += program.commands.length;
  }
  const bottom = TOP + HEIGHT + 26;
  const about =
    commands > 0
      ? `${commands} commands in their order, addresses downwards; paler in the backward pass`
      : 'The step has no phase(…): its memory comes from the pool, without a plan.';
  parts.push(`<text x="${LEFT}" y="${bottom + 22}">${about}</text>`);
  let at = LEFT;
  for (const [group, colour] of [...colours, ['other', OTHER]]) {
    parts.push(`<rect x="${at}" y="${bottom - 10}" width="11" height="11" fill="${colour}"/>`);
    parts.push(`<text x="${at + 16}" y="${bottom}">${escapeHtml(group || 'no module')}</text>`);
    at += 40 + LETTER * (group || 'no module').length;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH + 12} ${bottom + 36}" width="${WIDTH + 12}">`,
    '<style>text{font:12px Inter,"Segoe UI","Noto Sans",Arial,sans-serif;fill:#454b55}.end{text-anchor:end}' +
      'svg{background:#fdfdfb}.buffer{fill:#ecece7}path{stroke:#646a73;stroke-width:.8;fill:none}</style>',
    ...parts,
    '</svg>',
  ].join('\n');
}

function labelOf(command: Command) {
  return 'kernel' in command ? command.work?.label : undefined;
}

/** What a temporary is coloured by: the first name of the module's path, of a loss the first two. */
function groupOf(command: Command): string {
  const [first = '', second] = labelOf(command)?.module.split('.') ?? [];
  return first === 'loss' && second ? `loss.${second}` : first;
}

/** The groups that hold most, in bytes times commands, each with its colour. */
function coloursOf(programs: readonly Planned[]): Map<string, string> {
  const sizes = new Map<string, number>();
  for (const [, { commands, lifetimes }] of programs) {
    for (const { bytes, first, last } of lifetimes) {
      const group = groupOf(commands[first]);
      sizes.set(group, (sizes.get(group) ?? 0) + bytes * (last - first + 1));
    }
  }
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const large = [...sizes].filter(([, size]) => size >= LEAST_GROUP * total);
  const largest = large.sort(([, a], [, b]) => b - a).slice(0, COLOURS.length);
  return new Map(largest.map(([group], i) => [group, COLOURS[i]]));
}

function describe(command: Command): string {
  if (!('kernel' in command)) return 'a copy';
  const label = command.work?.label;
  const module = label?.module ? ` of ${label.module}${label.backward ? ', backward' : ''}` : '';
  return command.kernel.name + module;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
