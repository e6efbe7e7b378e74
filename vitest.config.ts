import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Serves a .wgsl file as a module whose default export is its text, as esbuild's text loader does in the bundles. */
const wgslAsText = {
  name: 'wgsl-as-text',
  transform: (code: string, id: string) =>
    id.endsWith('.wgsl') ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
};

export default defineConfig(({ mode }) => ({
  plugins: [wgslAsText],
  // What a user's recipe imports, for the recipes of test/fixtures.
  resolve: { alias: { wgrad: join(import.meta.dirname, 'src', 'index.ts') } },
  test: {
    // `npm run test:long` runs the tests of test/long, which take minutes each; `npm test` all others.
    include: [mode === 'long' ? 'test/long/**/*.test.ts' : 'test/**/*.test.ts'],
    exclude: mode === 'long' ? [] : ['test/long/**'],
    globalSetup: 'test/globalSetup.ts',
    // A cache of their own for the tests and the commands that they run: what was tuned on this machine is not theirs.
    env: { XDG_CACHE_HOME: join(import.meta.dirname, 'node_modules', '.cache', 'tests') },
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Two files at a time: the CPU drivers use every core to compute, but compile kernels on one.
    maxWorkers: 2,
    pool: 'forks',
  },
}));
