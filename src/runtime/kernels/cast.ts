import source from '../../../shaders/cast.wgsl';
import { grid } from '../device.ts';
import type { Tensor } from '../tensor.ts';

const CAST = { name: 'cast', source };

/** The same values as f16, rounded to nearest, or as f32. Needs an adapter with shader-f16. */
export function cast(x: Tensor, dtype: 'f16' | 'f32'): Tensor {
  if (x.dtype === dtype) return x;
  if (x.dtype === 'u32') throw new Error(`cast: ${x} holds u32`);
  const { device } = x;
  const y = device.empty(x.shape, dtype, x.name);
  const elements = x.size % 4 === 0 ? 4 : 1;
  const kernel = device.kernel(CAST, { tile: { TO_HALF: Number(dtype === 'f16'), ELEMENTS: elements } });
  device.dispatch(kernel, [x, y], [x.size / elements], grid(x.size / elements, 64));
  return y;
}
