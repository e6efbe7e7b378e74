import { existsSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { UserError } from '../io/errors.ts';
import { recipes } from '../train/recipes/index.ts';
import type { Recipe } from '../train/training.ts';

/** A recipe of ours by name, or the default export of the user's file. @throws UserError that begins with the verb */
export async function findRecipe(verb: string, name: string): Promise<Recipe> {
  if (Object.hasOwn(recipes, name)) return recipes[name];
  if (/\.[cm]?[jt]s$/.test(name)) return userRecipe(verb, name);
  throw new UserError(
    `${verb}: there is no recipe '${name}'; there are ${Object.keys(recipes).join(', ')}, or give a file`,
  );
}

/**
 * Loads the default export of a user's TypeScript or JavaScript file. `wgrad` in its imports means the package that is
 * running, so that the classes are the same; its other packages are found from where the file lies.
 */
async function userRecipe(verb: string, path: string): Promise<Recipe> {
  const file = resolve(path);
  if (!existsSync(file)) throw new UserError(`${verb}: there is no file ${path}`);
  const library = import.meta.resolve('wgrad');
  const bundled = join(dirname(file), `.wgrad-recipe-${process.pid}.mjs`);
  try {
    const { outputFiles } = await build({
      entryPoints: [file],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      packages: 'external',
      external: ['wgrad'], // even where the user's tsconfig.json says that it is elsewhere
      loader: { '.wgsl': 'text' },
      sourcemap: 'inline',
      logLevel: 'silent',
    }).catch(error => {
      throw new UserError(`${path}: ${String(error.message).split('\n').slice(0, 2).join(' ')}`);
    });
    await writeFile(bundled, outputFiles[0].text.replaceAll(/(from\s*|import\s*)(["'])wgrad\2/g, `$1$2${library}$2`));
    const { default: recipe } = (await import(pathToFileURL(bundled).href).catch(cause => {
      const message = String(cause instanceof Error ? cause.message : cause);
      throw new UserError(`${path}: ${message.replaceAll(bundled, path).split('\n')[0]}`, { cause });
    })) as { default?: Recipe };
    if (typeof recipe?.name !== 'string' || typeof recipe.create !== 'function' || !recipe.defaults) {
      throw new UserError(`${path}: its default export is not a recipe ({ name, about, defaults, create })`);
    }
    if (!/^[\w-]+$/.test(recipe.name)) {
      throw new UserError(`${path}: its name '${recipe.name}' names the run's folder: letters, digits, _ and - only`);
    }
    const missing = ['steps', 'batch', 'lr'].filter(key => typeof recipe.defaults[key] !== 'number');
    if (missing.length > 0) throw new UserError(`${path}: its defaults have no number for ${missing.join(', ')}`);
    return recipe;
  } finally {
    await rm(bundled, { force: true });
  }
}
