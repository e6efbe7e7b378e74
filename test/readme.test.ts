/** README.md tells the truth: its commands run, its code works, what it quotes and links to is there. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pageIsServed, readReadme, root, run } from './readmeCommands.ts';

/** How a command is run here; test/long/readme.test.ts runs each as it stands. */
interface Shorter {
  /** What is run in its place. Without it, the command as it stands. */
  readonly as?: string;
  /** Scripts of package.json that the command names, where what is run in its place does not show that they exist. */
  readonly scripts?: readonly string[];
  /** It serves a page, and is ended when that is there. */
  readonly serves?: boolean;
  /** What it must say. */
  readonly says: RegExp;
}

const WGRAD = 'node dist/cli.mjs';
const shorter: Record<string, Shorter> = {
  'npm ci && npm start': {
    as: `${WGRAD} start --steps 8 --out runs/e2style`,
    scripts: ['start'],
    says: /report: runs\/e2style\/report\.html/,
  },
  // What runs this is the other script.
  'npm ci && npm test': { as: 'npx vitest --version', scripts: ['test'], says: /vitest\/\d/ },
  'npx wgrad doctor': { says: /Adapter +\S/ },
  'npx wgrad train e2style --minutes 10 --out runs/mine': {
    as: `${WGRAD} train e2style --minutes 0.05 --out runs/mine --batch 4 --stages 1`,
    says: /finished in \d+ s[\s\S]*report: runs\/mine\/report\.html/,
  },
  'npx wgrad train stylegan2 --config auto --size 256 --dry-run': {
    as: `${WGRAD} train stylegan2 --dry-run`,
    says: /memory +[\d.]+ MiB at its peak[\s\S]*path length +0\.25/,
  },
  'npx wgrad train --resume runs/mine': {
    as: `${WGRAD} train --resume runs/mine --steps 16 --minutes 10`,
    says: /report: runs\/mine\/report\.html/,
  },
  // goldens-ops.test.ts takes the whole file through the same function.
  'npx wgrad verify test/goldens/ops.json': {
    as: `${WGRAD} verify test/goldens/ops.json --filter upfirdn2d`,
    says: /\d+ passed, 0 failed/,
  },
  'npx wgrad --help': { says: /wgrad train/ },
  'npx wgrad generate generator-32 --seeds 0-7,12 --out faces': {
    says: /written: faces\/seed0000\.png to seed0012\.png/,
  },
  'npx wgrad generate generator-32 --mix rows=0-3 cols=10-15 layers=0-3 --out mixing.png': {
    says: /written: mixing\.png/,
  },
  'npx wgrad generate generator-32 --interpolate w --seeds 4-6,11,16-18 --truncation 0.7 --out walk.webp': {
    says: /written: walk\.webp/,
  },
  'npx wgrad metrics generator-32 --data faces': {
    as: `${WGRAD} metrics generator-32 --data faces --count 66 --metrics fid`,
    says: /^FID-like\(self\) +[\d.]+\n\nwritten: metrics\.json/m,
  },
  'npx wgrad train ./my-recipe.ts': {
    as: `${WGRAD} train ./my-recipe.ts --steps 16`,
    says: /report: runs\/my-parser\/report\.html/,
  },
  'npx wgrad convert ffhq.pkl ffhq.safetensors': {
    as: `${WGRAD} convert test/fixtures/foreign/nvlabs-4.pkl ffhq.safetensors`,
    says: /StyleGAN2: .* from NVlabs[\s\S]*wrote ffhq\.safetensors/,
  },
  'npx wgrad convert weights/generator-32.safetensors mine.pt': {
    says: /g_ema of 32 pixels[\s\S]*wrote mine\.pt/,
  },
  'npx wgrad train stylegan2 --size 256 --resume ffhq-256.pt': {
    as: `${WGRAD} train stylegan2 --resume mine.pt --set steps=1 --set batch=4 --set sampleEvery=0 --out runs/resumed`,
    says: /no discriminator[\s\S]*finished in \d+ s/,
  },
  'npm run web': { as: `${WGRAD} web --port 0`, scripts: ['web'], serves: true, says: /http:/ },
  'node train.mjs': {
    as: "sed 's/step <= 100/step <= 20/' train.mjs > shorter.mjs && node shorter.mjs",
    says: /^20 [\d.]+$/m,
  },
  'npx wgrad verify test/goldens/ops.json --filter conv2d --adapter swiftshader': { says: /\d+ passed, 0 failed/ },
  'npx vitest run test/goldens-ops.test.ts test/gradcheck.test.ts': {
    as: 'npx vitest list --filesOnly test/goldens-ops.test.ts test/gradcheck.test.ts',
    says: /goldens-ops\.test\.ts\s+.*gradcheck\.test\.ts/s,
  },
  'npm run bench': {
    as: "npm run -s bench -- 'matmul 64'",
    scripts: ['bench'],
    says: /matmul 64×128 · 128×128 +[\d.]+/,
  },
  'npm run bench:steps': {
    as: 'npm run -s bench:steps -- parsing --steps 2 --batch 4',
    scripts: ['bench:steps'],
    says: /parsing +[\d.]+ +[\d.]+/,
  },
  'npm run bench:memory': {
    as: 'npm run -s bench:memory -- stylegan2 --size 256',
    scripts: ['bench:memory'],
    says: /stylegan2 +256( +[\d.]+){6}/,
  },
  'npm run bench:stylegan2': {
    as: 'npm run -s bench:stylegan2 -- --set model=micro16 --size 16 --batch 4 --rounds 1 --steps 2',
    scripts: ['bench:stylegan2'],
    says: /16 pixels, batch 4: wgrad [\d.]+ img\/s/,
  },
  // It would install the other libraries, which needs a network; test/long/bench-peers.test.ts does.
  'npm run bench:peers': {
    as: 'npm run -s bench:peers -- --rounds 0 || [ $? = 2 ]',
    scripts: ['bench:peers'],
    says: /--rounds 0 is not possible/,
  },
  'npx wgrad profile e2style --batch 8': {
    as: `${WGRAD} profile e2style --batch 2 --stages 1 --steps 1`,
    says: /^kernels .*% of the step[\s\S]*^conv2d +\d+/m,
  },
  'npx wgrad profile e2style --trace step.json --memory plan.svg': {
    as: `${WGRAD} profile perceptual --size 16 --width 4 --batch 4 --steps 1 --trace step.json --memory plan.svg`,
    says: /written: step\.json, plan\.svg/,
  },
  'npx wgrad kernel --list': { says: /^conv2d: [\s\S]*^unary: /m },
  'npx wgrad kernel conv2d --shape 4x64x64x64,64x64x3x3,p1': {
    as: `${WGRAD} kernel conv2d --shape 1x8x8x8,8x8x3x3,p1 --variant direct`,
    says: /512 elements compared with the formula[\s\S]*^direct .* %/m,
  },
  'npx wgrad kernel matmul --emit': { says: /@compute @workgroup_size\(\d+\)/ },
  'npx wgrad tune e2style --batch 8': {
    as: `XDG_CACHE_HOME=$PWD/cache ${WGRAD} tune parsing --batch 2 --feature-scale 16 --budget 1`,
    says: /class(es)? of problems: [\d.]+ ms with the defaults[\s\S]*written: .*cache\/wgrad\/tuning\.json/,
  },
};

const readme = readReadme();
/** A checkout to run them in: everything here but what runs leave, and the files that the README shows. */
const checkout = mkdtempSync(join(tmpdir(), 'wgrad-readme-'));
beforeAll(() => {
  for (const name of readdirSync(root)) {
    if (name !== 'runs') symlinkSync(join(root, name), join(checkout, name));
  }
  for (const [name, text] of readme.files) writeFileSync(join(checkout, name), text);
});
afterAll(() => rmSync(checkout, { recursive: true, force: true }));

describe('README.md', () => {
  test.each(readme.commands)('%s', { timeout: 600_000 }, async command => {
    expect(Object.keys(shorter), 'a command without an entry above').toContain(command);
    const { as = command, scripts = [], serves, says } = shorter[command];
    const known = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).scripts;
    for (const script of scripts) expect(known).toHaveProperty(script);
    const { code, output } = await run(as, checkout, serves ? pageIsServed : undefined);
    expect(output).toMatch(says);
    expect(code).toBe(0);
  });

  test('every entry above is a command of it', () => {
    expect(readme.commands).toEqual(expect.arrayContaining(Object.keys(shorter)));
  });

  test.each([...readme.files.keys()])('%s, which it shows, is run by a command of it', name => {
    expect(readme.commands.some(command => command.includes(name))).toBe(true);
  });

  test.each([...readme.quotations])('what it quotes from %s stands there', (path, text) => {
    expect(readFileSync(join(root, path), 'utf8')).toContain(text);
  });

  test.each(readme.links)('%s, which it links to, is there', path => {
    expect(existsSync(join(root, path))).toBe(true);
  });
});
