import { inModule } from '../runtime/labels.ts';
import { Module } from './module.ts';

/**
 * Parts of a training by name: modules, and other objects whose methods compute, as an optimiser or a source of images.
 */
export type Parts = Readonly<Record<string, object>>;

/**
 * Makes what the methods of these parts compute count for them in a profile: a module and all below it under their
 * dotted paths. Returns what undoes it.
 */
export function labelParts(parts: Parts): () => void {
  const shadowed: [target: Record<string, unknown>, method: string][] = [];
  const shadow = (part: object, path: string) => {
    const target = part as Record<string, unknown>;
    for (const method of methodsOf(part)) {
      if (Object.hasOwn(target, method)) continue; // a field in its place, or shadowed: the part has two names
      const body = target[method] as (...args: unknown[]) => unknown;
      target[method] = (...args: unknown[]) => inModule(path, () => body.apply(part, args));
      shadowed.push([target, method]);
    }
  };
  for (const [name, part] of Object.entries(parts)) {
    if (!(part instanceof Module)) shadow(part, name);
    else for (const [path, module] of part.modules(name)) shadow(module, path);
  }
  return () => {
    for (const [target, method] of shadowed) delete target[method];
  };
}

/** The methods of an object's own classes; of a module not those that all modules have. */
function methodsOf(part: object): string[] {
  const methods = new Set<string>();
  let type = Object.getPrototypeOf(part);
  while (type && type !== Object.prototype && type !== Module.prototype) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (typeof value === 'function' && name !== 'constructor') methods.add(name);
    }
    type = Object.getPrototypeOf(type);
  }
  return [...methods];
}
