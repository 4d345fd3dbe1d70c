/**
 * The boundary around every call to a backend of keys or secrets (`locators.ts`). It adds a time limit, which does not
 * depend on the limits of a vendor's SDK, and a mark that identifies an SDK's work in the background.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { isWebdistError, WebdistError } from '../errors.ts';
import { vendorError } from './vendor-error.ts';

/**
 * A call that takes longer counts as failed. The limit leaves enough time for an SDK to try several sources of
 * credentials.
 */
export const CALL_LIMIT_MS = 10_000;

export type BackendCall = {
  /** The scheme of the backend, such as `awskms`. */
  readonly backend: string;
  /** The name of the backend in messages: a locator without its query, which can contain a PIN. */
  readonly name: string;
  readonly limitMs: number;
};

const atWork = new AsyncLocalStorage<string>();

/**
 * Returns the scheme of the backend for which the current code runs, also in callbacks and timers that a call started.
 * Undefined outside of such calls. Node runs the handlers of unhandled rejections and uncaught exceptions in the
 * context in which the error arose. So they can distinguish a failure in the background of an SDK from a failure of
 * webdist.
 */
export const backendAtWork = (): string | undefined => atWork.getStore();

/** Runs `work`, marked as done for a backend. */
export const forBackend = <T>(backend: string, work: () => T): T => atWork.run(backend, work);

/**
 * Calls a backend. A result that arrives after the time limit is passed to `discard`, because no one waits for it.
 * Throws `key_unreachable` at the time limit, or what `work` throws; an error that is not ours is reduced to its codes.
 */
export async function callBackend<T>(
  { backend, name, limitMs }: BackendCall,
  work: () => Promise<T> | T,
  discard: (late: T) => unknown = () => undefined,
): Promise<T> {
  const { promise: limit, reject } = Promise.withResolvers<never>();
  const running = forBackend(backend, async () => work());
  const timer = setTimeout(() => {
    running.then(discard).catch(() => undefined);
    reject(
      new WebdistError('key_unreachable', `The backend of ${name} did not answer within ${limitMs / 1000} s.`, {
        hint: 'Check the network, the address and the service itself.',
      }),
    );
  }, limitMs);
  try {
    return await Promise.race([running, limit]);
  } catch (error) {
    if (isWebdistError(error)) throw error;
    throw new WebdistError('key_unreachable', `The backend of ${name} cannot be used.`, { cause: vendorError(error) });
  } finally {
    clearTimeout(timer);
  }
}

/** Closes an opened backend. A failure or a hang while closing must not hide an error, or delay other work for long. */
export async function closeBackend(backend: string, close: () => Promise<void>): Promise<void> {
  await callBackend({ backend, name: backend, limitMs: CALL_LIMIT_MS }, close).catch(() => undefined);
}
