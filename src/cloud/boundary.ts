/**
 * The boundary that every call to every backend of keys and secrets crosses (`locators.ts`): one time limit, which does not
 * depend on the limits of a vendor's SDK, and one mark by which what an SDK does in the background is recognised.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { isWebdistError, WebdistError } from '../errors.ts';
import { vendorError } from './vendor-error.ts';

/** A call that takes longer has failed. Long enough for an SDK that tries several sources of credentials. */
export const CALL_LIMIT_MS = 10_000;

export type BackendCall = {
  /** The scheme of the backend, such as `awskms`. */
  readonly backend: string;
  /** What is called, for messages: a locator without its query, which can hold a PIN. */
  readonly name: string;
  readonly limitMs: number;
};

const atWork = new AsyncLocalStorage<string>();

/**
 * The scheme of the backend for which the current code runs, in callbacks and timers that a call started too; undefined
 * outside of such calls. Node runs the handlers of unhandled rejections and uncaught exceptions in the context in which
 * the error arose, so they can tell a failure in the background of an SDK from one of webdist.
 */
export const backendAtWork = (): string | undefined => atWork.getStore();

/** Marks `work` as done for a backend. */
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

/** Closes what a backend opened. A failure or a hang while closing must not hide or delay anything else for long. */
export async function closeBackend(backend: string, close: () => Promise<void>): Promise<void> {
  await callBackend({ backend, name: backend, limitMs: CALL_LIMIT_MS }, close).catch(() => undefined);
}
