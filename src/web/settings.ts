import type { Options, OptionValue } from '../train/training.ts';
import { element, make } from './dom.ts';
import type { RecipeChoice } from './messages.ts';

/** Settings that are always in sight, in this order, where a recipe has them. */
const FIRST = ['config', 'model', 'size', 'stages', 'steps', 'batch', 'seed', 'abort', 'threshold'];

/** Settings that are not asked for: a page has no folders of images and no files of weights to name. */
const FIXED = ['data', 'mirror', 'from', 'lpipsFile', 'idFile', 'parsingFile', 'inception'];

/** Settings whose names do not say enough. */
const LABELS: Record<string, string> = {
  abort: 'Abortion of stages',
  abortAt: 'Drop stages at steps',
  threshold: 'Loss threshold',
  window: 'Monitor window, steps',
  size: 'Image size, pixels',
  batch: 'Batch, images',
  lr: 'Learning rate',
  l2: 'Weight of L2',
  lpips: 'Weight of LPIPS',
  id: 'Weight of identity',
  parsing: 'Weight of parsing',
  minutes: 'At most, minutes',
  saveEvery: 'Save every, steps',
  sampleEvery: 'Samples every, steps',
  keep: 'Checkpoints kept',
};

/** The form with a recipe's settings: the first ones in sight, all others folded away. */
export class SettingsForm {
  private readonly recipe = element('recipe', HTMLSelectElement);
  private readonly about = element('recipe-about', HTMLElement);
  private readonly first = element('first-settings', HTMLElement);
  private readonly others = element('other-settings', HTMLElement);

  constructor(
    private readonly choices: readonly RecipeChoice[],
    private readonly presets: readonly string[],
  ) {
    this.recipe.replaceChildren(...choices.map(({ name }) => make('option', { value: name }, name)));
    this.recipe.addEventListener('change', () => this.show(this.recipe.value));
    this.show(choices[0].name);
  }

  /** Shows a recipe with its defaults, or with the settings of a run. */
  show(recipe: string, options?: Readonly<Options>): void {
    const { about, defaults } = this.choices.find(({ name }) => name === recipe)!;
    this.recipe.value = recipe;
    this.about.textContent = about;
    const values = { ...defaults, ...options };
    const first = FIRST.filter(key => Object.hasOwn(defaults, key));
    const others = Object.keys(defaults).filter(key => !first.includes(key) && !FIXED.includes(key));
    this.first.replaceChildren(...first.map(key => this.field(key, values[key], defaults[key])));
    this.others.replaceChildren(...others.map(key => this.field(key, values[key], defaults[key])));
    this.showThreshold();
  }

  /** What is chosen, as texts. */
  read(): { recipe: string; settings: Record<string, string> } {
    const settings: Record<string, string> = {};
    for (const input of this.inputs()) {
      const checkbox = input instanceof HTMLInputElement && input.type === 'checkbox';
      const value = checkbox ? String(input.checked) : input.value.trim();
      settings[input.name] = value === '' && input.dataset.empty !== undefined ? input.dataset.empty : value;
    }
    return { recipe: this.recipe.value, settings };
  }

  private inputs(): (HTMLInputElement | HTMLSelectElement)[] {
    const all = [this.first, this.others].flatMap(part => [...part.querySelectorAll('input, select')]);
    return all as (HTMLInputElement | HTMLSelectElement)[];
  }

  private field(key: string, value: OptionValue, standard: OptionValue): HTMLElement {
    const id = `setting-${key}`;
    const input = key === 'abort' ? this.presetSelect(String(value)) : inputFor(value, standard);
    Object.assign(input, { id, name: key });
    return make('div', { className: 'field' }, make('label', { htmlFor: id }, labelOf(key)), input);
  }

  private presetSelect(value: string): HTMLSelectElement {
    const select = make('select', {}, ...this.presets.map(name => make('option', { value: name }, name)));
    select.value = value;
    select.addEventListener('change', () => this.showThreshold());
    return select;
  }

  /** The threshold belongs to one preset, which has no default for it. */
  private showThreshold(): void {
    const inputs = this.inputs();
    const field = inputs.find(({ name }) => name === 'threshold')?.closest<HTMLElement>('.field');
    if (field) field.hidden = inputs.find(({ name }) => name === 'abort')?.value !== 'paper-absolute';
  }
}

function inputFor(value: OptionValue, standard: OptionValue): HTMLInputElement {
  if (typeof standard === 'boolean') return make('input', { type: 'checkbox', checked: value === true });
  const numeric = typeof standard === 'number' || standard === null;
  const input = make('input', { type: 'text', inputMode: numeric ? 'decimal' : 'text', autocomplete: 'off' });
  input.value = value === null ? '' : String(value);
  input.spellcheck = false;
  if (standard === null) {
    input.placeholder = 'none';
    input.dataset.empty = 'null';
  }
  return input;
}

/** weightDecay → Weight decay */
function labelOf(key: string): string {
  const words = key.replace(/[A-Z]/g, letter => ` ${letter.toLowerCase()}`);
  return LABELS[key] ?? words[0].toUpperCase() + words.slice(1);
}
