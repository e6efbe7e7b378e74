/** Every shader is imported as its text: by esbuild's text loader in the bundles, by a plugin under vitest. */
declare module '*.wgsl' {
  const source: string;
  export default source;
}
