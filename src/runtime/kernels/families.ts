import type { Family } from '../variants.ts';
import { CONV2D } from './convForward.ts';
import { CONV_TRANSPOSE2D } from './convTransposed.ts';
import { WEIGHT_GRADIENT } from './convWeightGradient.ts';
import { MATMUL } from './matmul.ts';

/** The ops with several ways to compute them. */
export const families = [CONV2D, CONV_TRANSPOSE2D, WEIGHT_GRADIENT, MATMUL] as unknown as readonly Family<unknown>[];
