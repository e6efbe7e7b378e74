import type { StoredTensor } from '../../io/storedTensor.ts';
import type { Flat } from './flat.ts';
import type { Recognised } from './kinds.ts';

/** Names of GANSpace's parts: in its own .npz files, and in those of PTI and HyperStyle. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  comp: ['comp', 'lat_comp', 'components', 'act_comp'],
  mean: ['mean', 'lat_mean', 'act_mean'],
  std: ['std', 'lat_stdev', 'stdev', 'act_stdev'],
};

/** GANSpace's directions: `comp` [K, D], `mean`, and `std` [K], as PTI and HyperStyle name them. */
export function recogniseGanSpace({ tensors: found }: Flat): Recognised | undefined {
  const tensors = new Map<string, StoredTensor>();
  const used = new Set<string>();
  for (const [part, names] of Object.entries(PARTS)) {
    const name = names.find(candidate => found.has(candidate));
    if (name === undefined) return undefined;
    tensors.set(part, found.get(name)!);
    used.add(name);
  }
  const { shape } = tensors.get('comp')!;
  return { kind: 'ganspace', about: `${shape[0]} components of ${shape[shape.length - 1]}`, tensors, used };
}

/** A direction in W or W+, [1, D] or [1, n, D]: the one tensor of its file. */
export function recogniseDirection({ tensors: found }: Flat): Recognised | undefined {
  if (found.size !== 1) return undefined;
  const [[key, tensor]] = found;
  const { shape } = tensor;
  if (key !== '' && key !== 'direction' && key !== 'boundary') return undefined;
  if (shape.length < 1 || shape.length > 3 || (shape.length > 1 && shape[0] !== 1)) return undefined;
  const rows = shape.length === 3 ? `${shape[1]} rows of ` : '';
  const about = `${rows}${shape[shape.length - 1]} numbers`;
  return { kind: 'direction', about, tensors: new Map([['direction', tensor]]), used: new Set([key]) };
}
