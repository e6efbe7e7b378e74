// y = sin(frequency · x + phase), an activation (SIREN, Sitzmann et al. 2020, arXiv 2006.09661), as an operation from
// outside of wgrad. Its derivative is frequency · sin(frequency · x + phase + π/2): the operation itself, so that
// there are derivatives of every order.
import { defineOp, floatBits, type Operation, ops, type Tensor } from 'wgrad';

interface Wave {
  readonly frequency: number;
  readonly phase: number;
}

const wgsl = /* wgsl */ `
struct Params {
  size: u32,
  frequency: f32,
  phase: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (group.y * groups.x + group.x) * 64 + local;
  if (i < params.size) {
    y[i] = sin(params.frequency * x[i] + params.phase);
  }
}`;

const wave: Operation<Wave> = defineOp({
  name: 'sine',
  wgsl,
  shape: ([x]) => x,
  words: (_, y, { frequency, phase }) => [y.size, floatBits(frequency), floatBits(phase)],
  workgroups: 64,
  vjp: (gradient, { inputs: [x], attributes: { frequency, phase } }) => [
    ops.mul(gradient, ops.mul(wave([x], { frequency, phase: phase + Math.PI / 2 }), frequency)),
  ],
});

/** sin(frequency · x), element by element. */
export function sine(x: Tensor, frequency = 1): Tensor {
  return wave([x], { frequency, phase: 0 });
}
