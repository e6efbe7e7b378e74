import type { Recipe } from '../training.ts';
import { e2style } from './e2style.ts';
import { parsing } from './parsing.ts';
import { perceptual } from './perceptual.ts';
import { recognition } from './recognition.ts';
import { stylegan2 } from './stylegan2.ts';

/** The recipes that `wgrad train NAME` knows. */
export const recipes: Readonly<Record<string, Recipe>> = { e2style, stylegan2, recognition, parsing, perceptual };
