/** What was measured of the kernels' variants, kept in a file for all runs on this machine. */
import { type Folder, openCacheFolder } from '../../io/files.ts';
import type { Device } from '../../runtime/device.ts';
import { families } from '../../runtime/kernels/families.ts';
import { type Family, parseVariant, sameVariant, type Variant, variantText } from '../../runtime/variants.ts';

const FILE = 'tuning.json';
const VERSION = 1;

/** The winners of one family on one adapter, of shaders with this hash. */
interface Winners {
  readonly shaders: string;
  /** Variants by the class of the problem, as variantText writes them. */
  readonly classes: Record<string, string>;
}

/** tuning.json: families by adapter. */
interface Content {
  readonly version: number;
  readonly adapters: Record<string, Record<string, Winners>>;
}

/**
 * The variants that are remembered for a device's adapter, by name and driver. Those of shaders that have changed since
 * are left out, and so is a file that cannot be read.
 */
export class TuningCache {
  private constructor(
    private readonly folder: Folder,
    private readonly adapter: string,
    private readonly hashes: ReadonlyMap<string, string>,
    private readonly winners: Map<string, Map<string, Variant>>,
  ) {}

  /** @param folder by default the one of the user for what can be computed anew, or of the page */
  static async open({ adapter: { name, driver } }: Device, folder?: Folder): Promise<TuningCache> {
    const from = folder ?? (await openCacheFolder());
    const adapter = `${name}, ${driver}`;
    const hashes = new Map<string, string>();
    for (const family of families) hashes.set(family.name, await shaderHash(family));
    const own = (await readContent(from)).adapters[adapter] ?? {};
    const winners = new Map(families.map(({ name }) => [name, fresh(own[name], hashes.get(name)!)]));
    return new TuningCache(from, adapter, hashes, winners);
  }

  get path(): string {
    return `${this.folder.path}/${FILE}`;
  }

  /** Whether a variant is remembered for a problem's class that the device offers for it. */
  has(family: Family<unknown>, problem: unknown, device: Device): boolean {
    const variant = this.winners.get(family.name)?.get(family.shapeClass(problem));
    return variant !== undefined && family.variants(problem, device).some(one => sameVariant(one, variant));
  }

  /** Lets the device take them. */
  apply({ choices }: Device): void {
    for (const [family, classes] of this.winners) {
      for (const [key, variant] of classes) choices.set(`${family} ${key}`, variant);
    }
  }

  remember(family: Family<unknown>, problem: unknown, variant: Variant): void {
    this.winners.get(family.name)?.set(family.shapeClass(problem), variant);
  }

  /** Writes what is remembered beside what the file says by now of other classes and adapters. */
  async save(): Promise<void> {
    const { adapters } = await readContent(this.folder);
    const own: Record<string, Winners> = {};
    for (const [name, shaders] of this.hashes) {
      const classes = new Map([...fresh(adapters[this.adapter]?.[name], shaders), ...this.winners.get(name)!]);
      const texts = [...classes].map(([key, variant]) => [key, variantText(variant)]);
      if (texts.length > 0) own[name] = { shaders, classes: Object.fromEntries(texts) };
    }
    const content: Content = { version: VERSION, adapters: { ...adapters, [this.adapter]: own } };
    await this.folder.write(FILE, `${JSON.stringify(content, null, 2)}\n`);
  }
}

/**
 * Lets a device take what is remembered for its adapter; a cache that cannot be opened is none.
 * @param message told once, of the first variant that is not offered
 */
export async function applyTuning(device: Device, message?: (text: string) => void): Promise<void> {
  await TuningCache.open(device).then(
    cache => {
      cache.apply(device);
      tellNotOffered(device, cache.path, 'wgrad tune measures anew', message);
    },
    () => {},
  );
}

/**
 * Tells once, of the first variant that was set and is not offered.
 * @param source where the variants are from
 * @param advice what follows, or what to do
 */
export function tellNotOffered(
  { choices }: Device,
  source: string,
  advice: string,
  message?: (text: string) => void,
): void {
  choices.notOffered = (key, wanted) => {
    choices.notOffered = undefined;
    message?.(`${key}: ${variantText(wanted)} of ${source} is not offered here, the default is taken; ${advice}`);
  };
}

/** The winners that are still those of these shaders, and are variants at all. */
function fresh(winners: Partial<Winners> | undefined, hash: string): Map<string, Variant> {
  const found = new Map<string, Variant>();
  if (winners?.shaders !== hash || typeof winners.classes !== 'object' || winners.classes === null) return found;
  for (const [key, text] of Object.entries(winners.classes)) {
    const variant = parseVariant(String(text));
    if (variant) found.set(key, variant);
  }
  return found;
}

async function readContent(folder: Folder): Promise<Content> {
  const empty: Content = { version: VERSION, adapters: {} };
  try {
    const content = JSON.parse(await folder.readText(FILE)) as Partial<Content> | null;
    const isOurs = content?.version === VERSION && typeof content.adapters === 'object' && content.adapters !== null;
    return isOurs ? (content as Content) : empty;
  } catch {
    return empty; // not there, or damaged
  }
}

/** SHA-256 over a family's shaders. */
async function shaderHash({ shaders }: Family<unknown>): Promise<string> {
  const text = shaders.map(({ name, source }) => `${name}\n${source}`).join('\n');
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map(byte => byte.toString(16).padStart(2, '0')).join('');
}
