export { Adam, type AdamOptions } from './optimizers/adam.ts';
export { checkFinite, replaceNonFinite } from './optimizers/finite.ts';
export { Optimizer, type OptimizerState } from './optimizers/optimizer.ts';
export { Ranger, type RangerOptions } from './optimizers/ranger.ts';
export { Sgd, type SgdOptions } from './optimizers/sgd.ts';
