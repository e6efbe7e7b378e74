import { UserError } from '../io/errors.ts';
import { type OpenAdapterOptions, type OpenedAdapter, testAdapter } from './adapter.ts';
import { settle } from './wait.ts';

export type { OpenAdapterOptions, OpenedAdapter } from './adapter.ts';

/**
 * Opens the adapter that the browser offers; a page cannot name one.
 *
 * @throws UserError where there is no WebGPU, no adapter, or where it fails the test dispatch.
 */
export async function openAdapter(options: OpenAdapterOptions = {}): Promise<OpenedAdapter> {
  if (options.adapter) throw new UserError('a page cannot choose an adapter by name: leave `adapter` out');
  const gpu = globalThis.navigator?.gpu;
  if (!gpu) {
    throw new UserError(
      'this browser has no WebGPU here: open the page over https or from localhost, in a current Chrome, Edge, Safari or Firefox',
    );
  }
  const request = () => settle(gpu.requestAdapter({ powerPreference: 'high-performance' }));
  const tested = await request();
  if (!tested) {
    throw new UserError('this browser has WebGPU but offers no adapter: look at chrome://gpu, or try another browser');
  }
  const failure = await testAdapter(tested, settle);
  if (failure) throw new UserError(`the browser's WebGPU adapter does not work: ${failure}`);
  const adapter = await request(); // an adapter can open one device only
  if (!adapter) throw new UserError('the browser offered its WebGPU adapter once only: reload the page');
  const { description, vendor, architecture } = adapter.info;
  const name = description || `${vendor} ${architecture}`.trim() || 'unnamed adapter';
  return { gpu, adapter, name, driver: 'the browser', kind: 'browser', passedOver: [], others: [] };
}
