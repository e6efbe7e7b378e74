import type { AdapterKind } from '../runtime/adapter.ts';

/** What the advice depends on. */
export interface System {
  readonly platform: string;
  /** ID and VERSION_CODENAME of /etc/os-release, such as debian and bookworm; empty where there is none. */
  readonly distribution: string;
  readonly codename: string;
  readonly isRoot: boolean;
  readonly inContainer: boolean;
  /** The adapter in use; undefined where none works. */
  readonly adapter: { readonly name: string; readonly kind: AdapterKind } | undefined;
  /** Adapters that were tried and do not work, each as `NAME: why`. */
  readonly passedOver: readonly string[];
  /** The driver files that the user limits Vulkan to, by VK_DRIVER_FILES or VK_ICD_FILENAMES; empty for all. */
  readonly driverFiles: string;
  /** The best adapter that works and would come before the one in use, had the user not asked for that. */
  readonly better: string | undefined;
  /** The NVIDIA kernel driver, where it is loaded or its tools are there. */
  readonly nvidia:
    | {
        /** Such as 550.54.15; empty where it is not known. */
        readonly version: string;
        /** A Vulkan driver file (nvidia_icd.json) is where it is looked for. */
        readonly manifest: boolean;
        /** The library that this file names, libGLX_nvidia.so.0, is installed. */
        readonly library: boolean;
      }
    | undefined;
}

/** The one thing that would make it faster, and the commands that do it, if there are any. */
export interface Advice {
  readonly text: string;
  readonly commands: readonly string[];
}

/** Releases whose own Mesa is too old for Dawn, and that have no newer one in their backports. */
const TOO_OLD: Record<string, string> = {
  buster: 'Debian 12',
  bullseye: 'Debian 12',
  bionic: 'Ubuntu 22.04',
  focal: 'Ubuntu 22.04',
};

const NVIDIA_MANIFEST =
  '{"file_format_version":"1.0.0","ICD":{"library_path":"libGLX_nvidia.so.0","api_version":"1.3.0"}}';

/**
 * Decides what would make this machine train faster: a GPU that is there but not used, a better CPU driver, or a GPU.
 */
export function advise(system: System): Advice {
  const { adapter, better, driverFiles, nvidia, platform } = system;
  if (better !== undefined) {
    return { text: `${better} is faster: leave out --adapter and WGRAD_ADAPTER, and it is taken.`, commands: [] };
  }
  if (driverFiles && (nvidia ? !nvidia.manifest : adapter?.kind === 'embedded')) {
    return {
      text: `The drivers of the system: VK_DRIVER_FILES or VK_ICD_FILENAMES limits Vulkan to ${driverFiles}.`,
      commands: ['unset VK_DRIVER_FILES VK_ICD_FILENAMES'],
    };
  }
  if (nvidia && platform === 'linux' && !/nvidia/i.test(adapter?.name ?? '')) return adviseNvidia(system, nvidia);
  if (adapter?.kind === 'gpu') return { text: 'Nothing to install: the GPU is in use.', commands: [] };
  if (platform !== 'linux') {
    return { text: "A GPU with its maker's driver: none is found here.", commands: [] };
  }
  if (adapter?.kind === 'cpu') {
    return {
      text: system.inContainer
        ? "A GPU: lavapipe is the best CPU driver there is. If the machine has one, start the container with it: '--gpus all -e NVIDIA_DRIVER_CAPABILITIES=all' (NVIDIA) or '--device /dev/dri' (AMD, Intel)."
        : 'A GPU: lavapipe is the best CPU driver there is.',
      commands: [],
    };
  }
  return adviseMesa(system);
}

/** The NVIDIA GPU is there and Vulkan does not find it. */
function adviseNvidia(system: System, { version, manifest, library }: NonNullable<System['nvidia']>): Advice {
  const { distribution, inContainer } = system;
  const found = `The NVIDIA GPU: its driver${version && ` ${version}`} is here, but`;
  if (manifest && library) {
    return {
      text: `${found} Vulkan cannot use it${reasonOf(system, /nvidia/i)}. Most often the libraries that it needs are missing.`,
      commands: aptInstall(system, ['libvulkan1', 'libxext6', 'libegl1']),
    };
  }
  if (library) {
    return {
      text: `${found} the Vulkan driver file nvidia_icd.json is missing. Write it:`,
      commands: [
        asRoot(system, 'mkdir -p /etc/vulkan/icd.d'),
        writeAsRoot(system, NVIDIA_MANIFEST, '/etc/vulkan/icd.d/nvidia_icd.json'),
        ...aptInstall(system, ['libvulkan1', 'libxext6', 'libegl1']),
      ],
    };
  }
  if (inContainer) {
    return {
      text: `${found} this container was started without its Vulkan part (libGLX_nvidia.so.0 and nvidia_icd.json). Start it with the capability 'graphics', or all:`,
      commands: ['docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=all …'],
    };
  }
  const text = `${found} without its Vulkan part (libGLX_nvidia.so.0 and nvidia_icd.json).`;
  const major = version.split('.')[0];
  if (distribution === 'ubuntu') {
    return {
      text: major ? text : `${text} Put the first number of the version that nvidia-smi prints in place of VERSION.`,
      commands: aptInstall(system, [`libnvidia-gl-${major || 'VERSION'}`, 'libvulkan1']),
    };
  }
  if (distribution === 'debian') {
    return {
      text: `${text} Debian has it in the section non-free.`,
      commands: aptInstall(system, ['nvidia-vulkan-icd', 'libvulkan1']),
    };
  }
  return { text: `${text} Install it from where the driver came from, of the same version.`, commands: [] };
}

/** The embedded CPU driver serves, or none: Mesa brings lavapipe, and the drivers of AMD's and Intel's GPUs. */
function adviseMesa(system: System): Advice {
  const { distribution, codename } = system;
  const reason = reasonOf(system, /lvp_icd|llvmpipe|mesa/i);
  const why = reason
    ? `A newer Mesa: the one here does not work${reason}. Its CPU driver, lavapipe,`
    : 'Mesa: its CPU driver, lavapipe,';
  const gain = system.adapter
    ? 'is several times as fast as the embedded SwiftShader'
    : 'is what a machine without a GPU needs';
  const text = `${why} ${gain}, and it brings the drivers of AMD's and Intel's GPUs.`;
  const packages = ['libvulkan1', 'mesa-vulkan-drivers'];
  if (codename in TOO_OLD) {
    return {
      text: `${text} This release's Mesa is too old: ${TOO_OLD[codename]} or later has one that serves.`,
      commands: [],
    };
  }
  if (codename === 'bookworm') {
    const source = 'deb http://deb.debian.org/debian bookworm-backports main';
    return {
      text: `${text} Debian 12's own Mesa is too old; its backports have a newer one.`,
      commands: [
        writeAsRoot(system, source, '/etc/apt/sources.list.d/backports.list'),
        ...aptInstall(system, packages, '-t bookworm-backports '),
      ],
    };
  }
  const commands = aptInstall(system, packages);
  if (commands.length > 0) return { text, commands };
  if (distribution === 'fedora') return { text, commands: [asRoot(system, 'dnf install -y mesa-vulkan-drivers')] };
  if (distribution === 'arch') return { text, commands: [asRoot(system, 'pacman -S vulkan-swrast')] };
  return {
    text: `${text} Install Mesa 23 or later from your distribution (mesa-vulkan-drivers or the like).`,
    commands: [],
  };
}

/** ` (why)`, where an adapter of this name was passed over. */
function reasonOf({ passedOver }: System, name: RegExp): string {
  const entry = passedOver.find(text => name.test(text));
  return entry ? ` (${entry})` : '';
}

function aptInstall(system: System, packages: readonly string[], suite = ''): string[] {
  if (!['debian', 'ubuntu'].includes(system.distribution)) return [];
  return [asRoot(system, 'apt-get update'), asRoot(system, `apt-get install -y ${suite}${packages.join(' ')}`)];
}

function asRoot({ isRoot }: System, command: string): string {
  return isRoot ? command : `sudo ${command}`;
}

function writeAsRoot({ isRoot }: System, line: string, path: string): string {
  return isRoot ? `echo '${line}' > ${path}` : `echo '${line}' | sudo tee ${path}`;
}
