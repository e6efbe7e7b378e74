import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { delimiter, join } from 'node:path';
import { parseArgs } from 'node:util';
import { UserError } from '../io/errors.ts';
import { type AdapterKind, isCpuDriver, type OpenedAdapter } from '../runtime/adapter.ts';
import { Device } from '../runtime/device.ts';
import { CONV_SHAPE, MATMUL_SIZE, type Measurements, measure } from '../runtime/measure.ts';
import { driverManifests, nvidiaContainerManifest } from '../runtime/vulkan.node.ts';
import { formatBytes, formatDigits } from '../train/report/html.ts';
import { type Advice, advise, type System } from './advice.ts';
import type { Verb } from './main.ts';

/** Everything that the verb finds out, as --json prints it. */
interface Diagnosis {
  readonly adapter: string;
  readonly driver: string;
  readonly kind: AdapterKind;
  readonly system: { node: string; platform: string; arch: string; distribution: string; cores: number };
  /** Features that are in use, and those that the adapter has. */
  readonly features: readonly string[];
  readonly adapterFeatures: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly measured: Measurements;
  readonly passedOver: readonly string[];
  readonly others: readonly string[];
  readonly advice: Advice;
}

export const verb: Verb = {
  usage: 'doctor [--json] [--adapter NAME]',
  about: 'Says which adapter is used, what it can do, how fast it is, and what would make it faster.',
  async run(args) {
    const { values } = parseArgs({ args, options: { json: { type: 'boolean' }, adapter: { type: 'string' } } });
    const device = await Device.open({ adapter: values.adapter }).catch(error => {
      const asked = values.adapter || process.env.WGRAD_ADAPTER;
      if (!(error instanceof UserError) || asked) throw error;
      const { text, commands } = advise(readSystem());
      throw new UserError(`${error.message}. ${text} ${commands.join(' && ')}`.trimEnd());
    });
    try {
      const diagnosis = await diagnose(device);
      console.log(values.json ? JSON.stringify(diagnosis, null, 2) : diagnosisText(diagnosis));
      return 0;
    } finally {
      device.destroy();
    }
  },
};

async function diagnose(device: Device): Promise<Diagnosis> {
  const { name, driver, kind, passedOver, others, adapter } = device.adapter;
  const limits: Record<string, number> = {};
  for (const limit in device.limits) {
    const value = device.limits[limit as keyof GPUSupportedLimits];
    if (typeof value === 'number') limits[limit] = value;
  }
  return {
    adapter: name,
    driver,
    kind,
    system: {
      node: process.versions.node,
      platform: process.platform,
      arch: process.arch,
      distribution: osRelease().PRETTY_NAME ?? '',
      cores: availableParallelism(),
    },
    features: [...device.features].filter(feature => feature !== 'core-features-and-limits').sort(),
    adapterFeatures: [...adapter.features].sort(),
    limits,
    measured: await measure(device),
    passedOver,
    others,
    advice: advise(readSystem(device.adapter)),
  };
}

// The text

const KINDS: Record<AdapterKind, string> = {
  gpu: 'GPU',
  cpu: 'CPU driver of the system',
  embedded: 'embedded CPU driver',
  browser: 'the browser',
};

function diagnosisText(diagnosis: Diagnosis): string {
  const { adapter, driver, kind, system, features, limits, measured, passedOver, others, advice } = diagnosis;
  const { images, channels, size } = CONV_SHAPE;
  const sections: [title: string, lines: readonly string[]][] = [
    ['Adapter', [`${adapter}: ${KINDS[kind]}`]],
    ['Driver', [driver]],
    [
      'System',
      [`Node ${system.node}, ${system.platform} ${system.arch}, ${system.cores} cores, ${system.distribution}`],
    ],
    ['Features', [features.join(', ') || 'none']],
    [
      'Limits',
      table([
        ['largest buffer', formatBytes(limits.maxBufferSize), ''],
        ['largest binding', formatBytes(limits.maxStorageBufferBindingSize), 'larger tensors are in parts'],
        ['workgroup memory', formatBytes(limits.maxComputeWorkgroupStorageSize), ''],
        ['workgroup', `${limits.maxComputeInvocationsPerWorkgroup}`, 'invocations'],
        ['storage buffers', `${limits.maxStorageBuffersPerShaderStage}`, 'in a kernel'],
      ]),
    ],
    [
      'Speed',
      table([
        ['arithmetic', formatDigits(measured.arithmetic), 'GFLOP/s  multiply-adds in registers, the ceiling'],
        [
          'conv2d',
          formatDigits(measured.conv2d),
          `GFLOP/s  3×3, ${channels} channels, ${images} images of ${size}×${size}`,
        ],
        ['matmul', formatDigits(measured.matmul), `GFLOP/s  ${MATMUL_SIZE}×${MATMUL_SIZE}×${MATMUL_SIZE}`],
        ['copy', formatDigits(measured.bandwidth), 'GB/s     read and written, the ceiling'],
        ['dispatch', formatDigits(measured.dispatchHost), 'µs       of the host'],
        ['', formatDigits(measured.dispatchDevice), 'µs       of the device, nothing to compute'],
        ['read-back', formatDigits(measured.readback), 'µs       from a dispatch to its value'],
      ]),
    ],
    ['Passed over', passedOver],
    ['Also here', others.length > 0 ? [others.join(', '), '(choose with --adapter and a part of the name)'] : []],
    ['Faster with', [...wrap(advice.text, 100), ...advice.commands.map(command => `  ${command}`)]],
  ];
  return sections
    .flatMap(([title, lines]) => lines.map((line, i) => `${(i === 0 ? title : '').padEnd(13)}${line}`.trimEnd()))
    .join('\n');
}

/** Rows of a name, a number (flush right) and a remark. */
function table(rows: readonly (readonly [string, string, string])[]): string[] {
  const width = Math.max(...rows.map(row => row[1].length));
  return rows.map(([name, value, remark]) => `${name.padEnd(18)}${value.padStart(width)}  ${remark}`);
}

/** Breaks a text into lines of at most `width` characters, but for longer words. */
function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = `${lines[lines.length - 1]} ${word}`.trimStart();
    if (line.length <= width) lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines;
}

// The system

/** What the advice depends on, as it is on this machine. */
function readSystem(opened?: OpenedAdapter): System {
  const { ID = '', VERSION_CODENAME = '' } = osRelease();
  const { name, kind, passedOver = [], others = [] } = opened ?? {};
  const driverFiles = process.env.VK_DRIVER_FILES || process.env.VK_ICD_FILENAMES || '';
  const gpu = others.find(other => !isCpuDriver(other));
  return {
    platform: process.platform,
    distribution: ID,
    codename: VERSION_CODENAME,
    isRoot: process.getuid?.() === 0,
    inContainer:
      existsSync('/.dockerenv') || existsSync('/run/.containerenv') || 'KUBERNETES_SERVICE_HOST' in process.env,
    adapter: name !== undefined && kind ? { name, kind } : undefined,
    passedOver,
    driverFiles,
    better: kind === 'embedded' ? others[0] : kind === 'cpu' ? gpu : undefined,
    nvidia: readNvidia(driverFiles !== ''),
  };
}

function osRelease(): Record<string, string | undefined> {
  if (!existsSync('/etc/os-release')) return {};
  const lines = readFileSync('/etc/os-release', 'utf8').matchAll(/^(\w+)="?(.*?)"?$/gm);
  return Object.fromEntries([...lines].map(([, key, value]) => [key, value]));
}

/** `limited`: the user chose the driver files, and the container's is then not looked at. */
function readNvidia(limited: boolean): System['nvidia'] {
  const versionFile = '/proc/driver/nvidia/version';
  const hasVersion = existsSync(versionFile);
  const tools = (process.env.PATH ?? '').split(delimiter).some(folder => existsSync(join(folder, 'nvidia-smi')));
  if (!hasVersion && !existsSync('/dev/nvidia0') && !tools) return undefined;
  const version = hasVersion ? (/ (\d+\.\d+[.\d]*) /.exec(readFileSync(versionFile, 'utf8'))?.[1] ?? '') : '';
  const folders = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib'];
  folders.push('/usr/local/nvidia/lib64', '/usr/local/nvidia/lib');
  return {
    version,
    manifest:
      driverManifests().some(path => path.includes('nvidia')) || (!limited && existsSync(nvidiaContainerManifest)),
    library: folders.some(folder => existsSync(join(folder, 'libGLX_nvidia.so.0'))),
  };
}
