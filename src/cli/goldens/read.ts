import { readFile } from 'node:fs/promises';
import { UserError } from '../../io/errors.ts';
import type { GoldenCase } from './format.ts';

type Fields = Record<string, unknown>;

/** Reads the cases of a golden file. Throws a UserError that names the file, and the case, where it is not one. */
export async function readGoldenFile(path: string): Promise<GoldenCase[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why = { ENOENT: 'there is no such file', EISDIR: 'is a folder' }[code ?? ''] ?? message;
    throw new UserError(`${path}: ${why}; give golden files (.json)`);
  }
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path}: not JSON (${(error as Error).message.split('\n')[0]})`);
  }
  if (!isObject(file) || !Array.isArray(file.cases)) {
    throw new UserError(`${path}: not a golden file: it has no list named 'cases'`);
  }
  file.cases.forEach((golden: unknown, i) => {
    const wrong = whatIsWrong(golden);
    const name = isObject(golden) && typeof golden.name === 'string' ? ` ('${golden.name}')` : '';
    if (wrong) throw new UserError(`${path}: case ${i + 1}${name} is malformed: ${wrong}`);
  });
  return file.cases;
}

/** What a case lacks that running it takes for granted, in a few words. */
function whatIsWrong(golden: unknown): string | undefined {
  if (!isObject(golden)) return 'it is not an object';
  if (typeof golden.name !== 'string') return "its 'name' is not a text";
  if (!isNumber(golden.tolerance) || golden.tolerance < 0) return "its 'tolerance' is not a number from 0 on";
  if (golden.kind === 'schedule') return undefined;
  if (golden.kind === 'optimizer') return wrongOptimizer(golden);
  if (golden.kind !== undefined && golden.kind !== 'op') return `its 'kind' is ${JSON.stringify(golden.kind)}`;
  const subject = golden.kind === 'op' ? 'op' : 'module';
  if (typeof golden[subject] !== 'string') return `its '${subject}' is not a text`;
  for (const key of ['args', 'config', 'explicit']) {
    if (golden[key] !== undefined && !isObject(golden[key])) return `its '${key}' is not an object`;
  }
  return (
    wrongList(golden, 'inputs', isFilled) ??
    wrongList(golden, 'outputs', isSummary) ??
    wrongList(golden, 'gradients', isDerivative, 'optional') ??
    wrongList(golden, 'secondOrder', isDerivative, 'optional') ??
    wrongList(golden, 'stateAfter', isSummary, 'optional') ??
    wrongList(golden, 'state', isState, 'optional') ??
    wrongList(golden, 'constants', isConstant, 'optional')
  );
}

function wrongOptimizer(golden: Fields): string | undefined {
  if (typeof golden.optimizer !== 'string') return "its 'optimizer' is not a text";
  if (!isObject(golden.config)) return "its 'config' is not an object";
  const isGradient = (fill: unknown) => fill === null || (isList(fill, isNumber) && fill.length === 3);
  return (
    wrongList(golden, 'params', isFilled) ??
    wrongList(golden, 'gradientSteps', step => isList(step, isGradient)) ??
    wrongList(golden, 'expected', each => isObject(each) && isNumber(each.step) && isList(each.params, isSummary))
  );
}

function wrongList(
  golden: Fields,
  key: string,
  fits: (entry: unknown) => boolean,
  optional?: 'optional',
): string | undefined {
  const list = golden[key];
  if (list === undefined && optional) return undefined;
  if (!Array.isArray(list)) return `its '${key}' is not a list`;
  const at = list.findIndex(entry => !fits(entry));
  return at < 0 ? undefined : `entry ${at + 1} of its '${key}' is not as the format has it`;
}

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isNumber = (value: unknown): value is number => typeof value === 'number';
const isList = (value: unknown, fits: (entry: unknown) => boolean): value is unknown[] =>
  Array.isArray(value) && value.every(fits);
const isShape = (value: unknown) => isList(value, n => Number.isSafeInteger(n) && (n as number) >= 0);
const isFill = (shape: unknown, ...formula: unknown[]) => isShape(shape) && formula.every(isNumber);

const isFilled = (value: unknown): boolean =>
  isObject(value) &&
  typeof value.name === 'string' &&
  (value.values === undefined
    ? isFill(value.shape, value.scale, value.shift, value.seed)
    : isShape(value.shape) && isList(value.values, isNumber));
const isSummary = (value: unknown): boolean =>
  isObject(value) && isFill(value.shape, value.sum, value.meanAbs, value.last) && isList(value.first, isNumber);
const isDerivative = (value: unknown): boolean => isSummary(value) && typeof (value as Fields).wrt === 'string';
const isState = (value: unknown): boolean =>
  Array.isArray(value) && typeof value[0] === 'string' && isFill(value[1], value[2], value[3], value[4]);
const isConstant = (value: unknown): boolean =>
  Array.isArray(value) && typeof value[0] === 'string' && isShape(value[1]) && isList(value[2], isNumber);
