import { describe, expect, test } from 'vitest';
import { advise, type System } from '../src/cli/advice.ts';
import { wgrad } from './command.ts';

const embeddedHere = process.platform === 'linux' && process.arch === 'x64';

describe('the advice', () => {
  const bookworm: System = {
    platform: 'linux',
    distribution: 'debian',
    codename: 'bookworm',
    isRoot: true,
    inContainer: false,
    adapter: { name: 'SwiftShader', kind: 'embedded' },
    passedOver: [],
    driverFiles: '',
    better: undefined,
    nvidia: undefined,
  };
  const ubuntu = { ...bookworm, distribution: 'ubuntu', codename: 'noble' };
  const lavapipe = { name: 'llvmpipe (LLVM 19.1.7, 256 bits)', kind: 'cpu' } as const;
  const bare = { version: '550.54.15', manifest: false, library: false };

  test('Debian 12 with the embedded driver: Mesa from backports, by root or with sudo', () => {
    const { text, commands } = advise(bookworm);
    expect(text).toMatch(/^Mesa: its CPU driver, lavapipe, .*backports/);
    expect(commands).toEqual([
      "echo 'deb http://deb.debian.org/debian bookworm-backports main' > /etc/apt/sources.list.d/backports.list",
      'apt-get update',
      'apt-get install -y -t bookworm-backports libvulkan1 mesa-vulkan-drivers',
    ]);
    expect(advise({ ...bookworm, isRoot: false }).commands).toEqual([
      "echo 'deb http://deb.debian.org/debian bookworm-backports main' | sudo tee /etc/apt/sources.list.d/backports.list",
      'sudo apt-get update',
      'sudo apt-get install -y -t bookworm-backports libvulkan1 mesa-vulkan-drivers',
    ]);
  });

  test('Debian 12 with its own Mesa, which was passed over: the same, with the reason', () => {
    const reason = 'lvp_icd.json: too old or broken for Dawn (Vulkan shaderUniform*ArrayDynamicIndexing required.)';
    const { text, commands } = advise({ ...bookworm, passedOver: [reason] });
    expect(text).toMatch(/^A newer Mesa: the one here does not work \(lvp_icd\.json: .*\)/);
    expect(commands).toEqual(advise(bookworm).commands);
  });

  test('other distributions with the embedded driver', () => {
    const plain = ['apt-get update', 'apt-get install -y libvulkan1 mesa-vulkan-drivers'];
    expect(advise({ ...bookworm, codename: 'trixie' }).commands).toEqual(plain);
    expect(advise(ubuntu).commands).toEqual(plain);
    expect(advise({ ...ubuntu, codename: 'focal' })).toMatchObject({
      commands: [],
      text: expect.stringMatching(/Ubuntu 22\.04 or later/),
    });
    expect(advise({ ...bookworm, codename: 'bullseye' }).text).toMatch(/Debian 12 or later/);
    expect(advise({ ...bookworm, distribution: 'fedora', codename: '' }).commands[0]).toMatch(/^dnf install/);
    expect(advise({ ...bookworm, distribution: 'arch', codename: '' }).commands[0]).toMatch(/^pacman -S/);
    expect(advise({ ...bookworm, distribution: '', codename: '' })).toMatchObject({
      commands: [],
      text: expect.stringMatching(/Mesa 23 or later/),
    });
  });

  test('no adapter at all: Mesa too', () => {
    const { text, commands } = advise({ ...bookworm, adapter: undefined });
    expect(text).toMatch(/what a machine without a GPU needs/);
    expect(commands).toEqual(advise(bookworm).commands);
  });

  test('lavapipe in use: a GPU; in a container, how to pass one in', () => {
    expect(advise({ ...bookworm, adapter: lavapipe })).toEqual({
      text: 'A GPU: lavapipe is the best CPU driver there is.',
      commands: [],
    });
    expect(advise({ ...bookworm, adapter: lavapipe, inContainer: true }).text).toMatch(/--gpus all .*--device/);
  });

  test('a GPU in use: nothing', () => {
    const nvidia = { version: '550.54.15', manifest: true, library: true };
    const adapter = { name: 'NVIDIA H100 80GB HBM3', kind: 'gpu' } as const;
    expect(advise({ ...ubuntu, adapter, nvidia }).text).toMatch(/^Nothing to install/);
    expect(advise({ ...ubuntu, adapter: { name: 'AMD Radeon (RADV)', kind: 'gpu' } }).text).toMatch(/^Nothing/);
  });

  test('an adapter that the user chose though a better one is there', () => {
    expect(advise({ ...bookworm, better: lavapipe.name }).text).toMatch(/^llvmpipe .* is faster: leave out --adapter/);
  });

  test('NVIDIA without the Vulkan part of its driver: by distribution, and in a container', () => {
    expect(advise({ ...ubuntu, adapter: lavapipe, nvidia: bare }).commands).toEqual([
      'apt-get update',
      'apt-get install -y libnvidia-gl-550 libvulkan1',
    ]);
    expect(advise({ ...ubuntu, nvidia: { ...bare, version: '' } }).text).toMatch(/nvidia-smi .* VERSION/);
    const debian = advise({ ...bookworm, nvidia: bare });
    expect(debian.text).toMatch(/550\.54\.15 .*nvidia_icd\.json.* non-free/);
    expect(debian.commands[1]).toBe('apt-get install -y nvidia-vulkan-icd libvulkan1');
    const container = advise({ ...ubuntu, adapter: lavapipe, inContainer: true, nvidia: bare });
    expect(container.commands).toEqual(['docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=all …']);
    expect(advise({ ...bookworm, distribution: 'fedora', nvidia: bare })).toMatchObject({ commands: [] });
    // A laptop whose other GPU is in use.
    const intel = { name: 'Intel(R) UHD Graphics', kind: 'gpu' } as const;
    expect(advise({ ...ubuntu, adapter: intel, nvidia: bare }).text).toMatch(/^The NVIDIA GPU/);
  });

  test('NVIDIA with its library and without the driver file: writes the file', () => {
    const { commands } = advise({ ...ubuntu, adapter: lavapipe, nvidia: { ...bare, library: true } });
    expect(commands[0]).toBe('mkdir -p /etc/vulkan/icd.d');
    const [, json, path] = /^echo '(.*)' > (.*)$/.exec(commands[1])!;
    expect(path).toBe('/etc/vulkan/icd.d/nvidia_icd.json');
    expect(JSON.parse(json).ICD.library_path).toBe('libGLX_nvidia.so.0');
  });

  test('NVIDIA with all of it and not usable: the reason, and what it most often lacks', () => {
    const nvidia = { ...bare, manifest: true, library: true };
    const passedOver = ['nvidia_icd.json: too old or broken for Dawn (libXext.so.6: cannot open shared object file)'];
    const { text, commands } = advise({ ...ubuntu, adapter: lavapipe, passedOver, nvidia });
    expect(text).toMatch(/libXext\.so\.6/);
    expect(commands[1]).toMatch(/libxext6/);
  });

  test('driver files chosen by the user hide what is there', () => {
    const hidden = { ...bookworm, driverFiles: '/opt/lvp.json' };
    expect(advise(hidden).commands).toEqual(['unset VK_DRIVER_FILES VK_ICD_FILENAMES']);
    expect(advise({ ...hidden, adapter: lavapipe, nvidia: bare }).text).toMatch(/limits Vulkan to \/opt\/lvp\.json/);
    expect(advise({ ...hidden, adapter: lavapipe }).text).toMatch(/^A GPU/);
  });

  test('other systems', () => {
    expect(advise({ ...bookworm, platform: 'win32', distribution: '', adapter: undefined }).text).toMatch(/^A GPU/);
  });
});

describe('wgrad doctor', () => {
  test('--json prints one object with all that it found out', async () => {
    const { code, stdout, stderr } = await wgrad(['doctor', '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const diagnosis = JSON.parse(stdout);
    expect(diagnosis).toMatchObject({
      adapter: expect.any(String),
      driver: expect.any(String),
      kind: expect.stringMatching(/^(gpu|cpu|embedded)$/),
      system: { node: process.versions.node, cores: expect.any(Number) },
      passedOver: expect.any(Array),
      advice: { text: expect.any(String), commands: expect.any(Array) },
    });
    expect(diagnosis.limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(diagnosis.adapterFeatures).toEqual(expect.arrayContaining(diagnosis.features));
    expect(Object.keys(diagnosis.measured).sort()).toEqual(
      ['arithmetic', 'bandwidth', 'conv2d', 'dispatchDevice', 'dispatchHost', 'matmul', 'readback'].sort(),
    );
    for (const value of Object.values(diagnosis.measured)) expect(value).toBeGreaterThan(0);
  });

  test.runIf(embeddedHere)('prints a text, on the adapter that is asked for', async () => {
    const { code, stdout } = await wgrad(['doctor', '--adapter', 'swiftshader']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Adapter {6}SwiftShader: embedded CPU driver$/m);
    for (const unit of ['GFLOP/s', 'GB/s', 'µs']) expect(stdout).toContain(unit);
    expect(stdout).toMatch(/^Faster with {2}\S/m);
  });

  test.runIf(embeddedHere)('names a driver that does not work, and why', async () => {
    const { stdout } = await wgrad(['doctor', '--json'], {
      env: { VK_DRIVER_FILES: '/nowhere/lvp_icd.json', WGRAD_ADAPTER: '' },
    });
    const { kind, passedOver, advice } = JSON.parse(stdout);
    expect(kind).toBe('embedded');
    expect(passedOver).toEqual([expect.stringMatching(/^lvp_icd\.json: /)]);
    expect(advice.text).toContain('/nowhere/lvp_icd.json');
  });

  test('bad input is one line and exit code 2', async () => {
    for (const args of [['--adapter', 'zork'], ['--zork'], ['zork']]) {
      const { code, stdout, stderr } = await wgrad(['doctor', ...args]);
      expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
      expect(stderr).toMatch(/^wgrad: .*zork.*\n$/);
    }
  });
});
