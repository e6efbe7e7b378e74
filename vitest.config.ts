import { defineConfig } from 'vitest/config';

/** Serves a .wgsl file as a module whose default export is its text, as esbuild's text loader does in the bundles. */
const wgslAsText = {
  name: 'wgsl-as-text',
  transform: (code: string, id: string) =>
    id.endsWith('.wgsl') ? { code: `export default ${JSON.stringify(code)};`, map: null } : undefined,
};

export default defineConfig({
  plugins: [wgslAsText],
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/long/**'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // One process with a device at a time: the CPU drivers use every core by themselves.
    fileParallelism: false,
    pool: 'forks',
  },
});
