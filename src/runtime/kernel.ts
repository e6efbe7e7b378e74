import { compilationText } from './compilation.ts';
import { expand, type Tile } from './template.ts';
import { settle } from './wait.ts';

/** How a kernel uses one of its bindings, read from the shader's own declarations. */
export type Access = 'read' | 'read_write' | 'uniform';

/** Overrides of a pipeline: the constants that size workgroups and loops. */
export type Constants = Readonly<Record<string, number>>;

/** Text put in place of an identifier: what WGSL cannot take as an override (an expression, an element type). */
export type Substitutions = Readonly<Record<string, string>>;

export interface KernelOptions {
  readonly constants?: Constants;
  readonly text?: Substitutions;
  /** The numbers of a template's `let` lines that are not to be its defaults. */
  readonly tile?: Tile;
}

/** Makes a pipeline, at once or meanwhile. */
interface Compiler {
  now(): GPUComputePipeline;
  /** @throws an error that names the kernel and holds what the compiler said of it */
  meanwhile(): Promise<GPUComputePipeline>;
}

/** A compute pipeline with what a dispatch needs to know of it; compiled when it is first used, or by `compile`. */
export class Kernel {
  private compiled: GPUComputePipeline | undefined;
  private compiling: Promise<void> | undefined;

  constructor(
    readonly id: number,
    readonly name: string,
    readonly layout: GPUBindGroupLayout,
    readonly access: readonly Access[],
    /** The WGSL that is compiled, without anything of the text layer. */
    readonly code: string,
    private readonly compiler: Compiler,
  ) {}

  get pipeline(): GPUComputePipeline {
    this.compiled ??= this.compiler.now();
    return this.compiled;
  }

  /** Starts to compile while the host goes on; many at a time share the driver's threads. */
  compile(): Promise<void> {
    this.compiling ??= this.compiler.meanwhile().then(pipeline => {
      this.compiled ??= pipeline;
    });
    return this.compiling;
  }

  get isCompiled(): boolean {
    return this.compiled !== undefined;
  }
}

/** Puts text in place of whole identifiers. An identifier that does not occur is an error: the shader has changed. */
export function substitute(source: string, text: Substitutions, name: string): string {
  let result = source;
  for (const [identifier, replacement] of Object.entries(text)) {
    const pattern = new RegExp(`\\b${identifier}\\b`, 'g');
    if (!pattern.test(result)) throw new Error(`shader ${name} has no identifier ${identifier}`);
    result = result.replace(pattern, () => replacement);
  }
  return result;
}

/** The bindings of group 0 in order, from the declarations `@group(0) @binding(i) var<…>`. */
export function bindingsOf(source: string, name: string): Access[] {
  const access: Access[] = [];
  const declaration = /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(storage\s*,\s*(read_write|read)|uniform)\s*>/g;
  for (const [, index, kind, storage] of source.matchAll(declaration)) {
    access[Number(index)] = kind === 'uniform' ? 'uniform' : (storage as Access);
  }
  for (let index = 0; index < access.length; index++) {
    if (!access[index]) throw new Error(`shader ${name} does not declare binding ${index}`);
  }
  return access;
}

/** Compiles kernels and keeps them: pipelines by source and constants, layouts by their list of accesses. */
export class KernelCache {
  private readonly kernels = new Map<string, Kernel>();
  private readonly layouts = new Map<string, { layout: GPUBindGroupLayout; pipelineLayout: GPUPipelineLayout }>();

  private readonly outcomes = new Set<Promise<void>>();
  /** When the device is lost, after which not everything that was asked is answered. */
  private readonly gone: Promise<undefined>;

  /** @param failed told what is wrong with a kernel that was compiled at once, with the lines of its source */
  constructor(
    private readonly gpu: GPUDevice,
    private readonly failed: (error: Error) => void,
  ) {
    this.gone = gpu.lost.then(() => undefined);
  }

  /** The kernel of this name with these options, made when it is first asked for. One name stands for one source. */
  get(name: string, source: string, { constants, text, tile }: KernelOptions): Kernel {
    let key = name;
    if (tile) for (const number in tile) key += `|${number}=${tile[number]}`;
    if (constants) for (const constant in constants) key += `|${constant}=${constants[constant]}`;
    if (text) for (const identifier in text) key += `|${identifier}:${text[identifier]}`;
    let kernel = this.kernels.get(key);
    if (!kernel) {
      const code = expand(source, tile ?? {}, name);
      kernel = this.create(name, key, text ? substitute(code, text, name) : code, constants);
      this.kernels.set(key, kernel);
    }
    return kernel;
  }

  /** All that were asked for. */
  all(): Iterable<Kernel> {
    return this.kernels.values();
  }

  private create(name: string, label: string, code: string, constants: Constants = {}): Kernel {
    const access = bindingsOf(code, name);
    const { layout, pipelineLayout } = this.layoutOf(access);
    const describe = () => {
      const module = this.gpu.createShaderModule({ label: name, code });
      return { label, layout: pipelineLayout, compute: { module, entryPoint: 'main', constants: { ...constants } } };
    };
    const explain = async (module: GPUShaderModule, error: Error | GPUError): Promise<Error> => {
      const info = await settle(Promise.race([module.getCompilationInfo(), this.gone]));
      const messages = info?.messages ?? [];
      const said = messages.length > 0 ? compilationText(code, messages) : error.message;
      return new Error(`kernel ${label} does not compile:\n${said}`);
    };
    return new Kernel(this.kernels.size, name, layout, access, code, {
      now: () => {
        this.gpu.pushErrorScope('validation');
        const description = describe();
        const pipeline = this.gpu.createComputePipeline(description);
        this.watch(
          settle(Promise.race([this.gpu.popErrorScope(), this.gone])).then(async error => {
            if (error) this.failed(await explain(description.compute.module, error));
          }),
        );
        return pipeline;
      },
      meanwhile: async () => {
        // What is wrong with the shader is told below, and not also as an error of the device.
        this.gpu.pushErrorScope('validation');
        const description = describe();
        this.gpu.popErrorScope().catch(() => {});
        try {
          return await settle(this.gpu.createComputePipelineAsync(description));
        } catch (error) {
          throw await explain(description.compute.module, error as Error);
        }
      },
    });
  }

  private watch(outcome: Promise<void>): void {
    const done = outcome
      .catch(() => {}) // the device is gone
      .then(() => void this.outcomes.delete(done));
    this.outcomes.add(done);
  }

  /** Whether it is not known yet if all that was compiled at once has compiled. */
  get isUnsettled(): boolean {
    return this.outcomes.size > 0;
  }

  /** Waits until that is known. */
  async settled(): Promise<void> {
    await Promise.all(this.outcomes);
  }

  private layoutOf(access: readonly Access[]) {
    const key = access.join();
    let found = this.layouts.get(key);
    if (!found) {
      const type = { read: 'read-only-storage', read_write: 'storage', uniform: 'uniform' } as const;
      const entries = access.map((kind, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: type[kind] },
      }));
      const layout = this.gpu.createBindGroupLayout({ entries });
      found = { layout, pipelineLayout: this.gpu.createPipelineLayout({ bindGroupLayouts: [layout] }) };
      this.layouts.set(key, found);
    }
    return found;
  }
}
