// Builds dist/: `node scripts/build.mjs` the bundles, `node scripts/build.mjs types` the declarations beside them.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

if (process.argv[2] === 'types') buildTypes();
else await buildBundles();

async function buildBundles() {
  const shared = {
    // esbuild's own notion of it is the folder in which the process began, maybe through a link.
    absWorkingDir: root,
    bundle: true,
    format: 'esm',
    loader: { '.wgsl': 'text' },
    outdir: 'dist',
    outExtension: { '.js': '.mjs' },
    sourcemap: 'linked',
    logLevel: 'warning',
    write: false,
  };
  // The command and the library share their code, so that a user's own recipe, which imports the library, meets the
  // same classes as the command that runs it.
  const node = build({
    ...shared,
    entryPoints: { cli: 'src/cli/main.ts', index: 'src/index.ts', decodeWorker: 'src/data/decodeWorker.node.ts' },
    platform: 'node',
    target: 'node20',
    packages: 'external',
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
  });
  const web = { ...shared, platform: 'browser', target: 'es2022' };
  const library = build({ ...web, entryPoints: { 'index.web': 'src/index.ts' } });
  // The page of `wgrad web`: any server of static files will do, with weights/ beside it.
  const entryPoints = ['src/web/page.ts', 'src/web/worker.ts'];
  const page = build({ ...web, entryPoints, outdir: 'dist/web', outExtension: {}, minify: true });
  const bundles = (await Promise.all([node, library, page])).flatMap(({ outputFiles }) => outputFiles);
  const copies = ['index.html', 'style.css'].map(file => ({
    path: join(root, 'dist/web', file),
    contents: readFileSync(join('src/web', file)),
  }));
  replace([...bundles, ...copies]);
}

/** Brings dist/ to these files. One that is as it should be is not touched: a command that runs may be reading it. */
function replace(files) {
  for (const { path, contents } of files) {
    if (existsSync(path) && readFileSync(path).equals(contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    const temporary = `${path}.${process.pid}`;
    writeFileSync(temporary, contents, { mode: path.endsWith('cli.mjs') ? 0o755 : 0o644 });
    renameSync(temporary, path);
  }
  const wanted = new Set(files.map(({ path }) => path));
  for (const { parentPath, name } of readdirSync('dist', { recursive: true, withFileTypes: true }).filter(isBundle)) {
    const path = join(root, parentPath, name);
    if (!wanted.has(path)) rmSync(path, { force: true });
  }
}

/** Whether it is a file of dist/ that is built here, of this build or an older one. */
function isBundle(entry) {
  return entry.isFile() && !relative('dist', entry.parentPath).startsWith('types');
}

function buildTypes() {
  rmSync('dist/types', { recursive: true, force: true });
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', 'tsconfig.types.json'], { stdio: 'inherit' });
  // `#adapter` and the like name source files, which the package does not carry: name the declarations instead.
  const { imports } = JSON.parse(readFileSync('package.json', 'utf8'));
  for (const file of readdirSync('dist/types', { recursive: true }).filter(name => name.endsWith('.d.ts'))) {
    const path = join('dist/types', file);
    const text = readFileSync(path, 'utf8').replace(/(['"])(#\w+)\1/g, (_, quote, name) => {
      const target = relative(dirname(file), relative('src', imports[name].default)).replaceAll('\\', '/');
      return `${quote}${target.startsWith('.') ? '' : './'}${target}${quote}`;
    });
    writeFileSync(path, text);
  }
  // They also name WebGPU's types, which a user's own configuration need not know of.
  const index = 'dist/types/index.d.ts';
  writeFileSync(index, `/// <reference types="@webgpu/types" />\n${readFileSync(index, 'utf8')}`);
}
