/** The metrics of a training's average generator, where its settings ask for them. */
import type { Generator } from '../../../models/stylegan2/generator.ts';
import { generatorMetrics } from '../../metrics/generator.ts';
import { readInception } from '../../metrics/networks.ts';
import type { RecipeContext, Training } from '../../training.ts';

/**
 * Tells by a message what is compared with what.
 * @throws UserError where the settings do not fit, before the training begins
 */
export async function measurement(
  { device, options, message }: RecipeContext,
  generator: Generator,
): Promise<Training['metrics']> {
  if (!(Number(options.metricsEvery) > 0)) return undefined;
  const evaluation = await generatorMetrics({
    device,
    generator,
    data: String(options.data),
    inception: options.inception ? await readInception(String(options.inception)) : undefined,
    count: options.metricsCount === null ? undefined : Number(options.metricsCount),
    metrics: String(options.metrics),
    seed: Number(options.seed),
    message,
  });
  message?.(`metrics: ${evaluation.about}`);
  return (compute, folder) => evaluation.measure(compute, folder);
}
