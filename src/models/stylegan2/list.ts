import { Module } from '../module.ts';

/** Modules under their index. */
export class List<T extends Module> extends Module {
  constructor(readonly items: readonly T[]) {
    super();
    items.forEach((item, i) => {
      this.child(`${i}`, item);
    });
  }
}
