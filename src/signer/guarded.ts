/**
 * The guard around a remote signer. It has a timeout, a limit on running and waiting calls, and a circuit breaker that
 * pauses calls to a backend that keeps failing. It checks every signature before it returns it. If a backend is slow or
 * lost, requests fail at once with `signer_unavailable` and do not pile up.
 */

import {
  bulkhead,
  CountBreaker,
  handleWhen,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isTaskCancelledError,
  TimeoutStrategy,
  timeout,
} from 'cockatiel';
import { openBreaker } from '../breaker.ts';
import { closeBackend, forBackend } from '../cloud/boundary.ts';
import { hasCode, isWebdistError, WebdistError } from '../errors.ts';
import { ES256_SIGNATURE_BYTES, type Signer } from '../jws.ts';
import { isSignatureOf, PROBE } from './proof.ts';

const guardDefaults = {
  /** A call that takes longer counts as failed. */
  timeoutMs: 2000,
  /** The number of calls that may run at the same time. */
  concurrency: 32,
  /** The number of calls that may wait. Further calls are refused. */
  queue: 128,
  /** The breaker considers this many of the latest calls, but only once there have been `minimumCalls`. */
  windowCalls: 50,
  minimumCalls: 10,
  /** The breaker opens if at least this share of them failed. Occasional errors do not open it. */
  failureShare: 0.6,
  /** How long calls are paused after the breaker opened. Then one call is tried. */
  pauseMs: 5000,
};

/** Limits of a guard, each with a default. */
export type GuardOptions = Partial<typeof guardDefaults>;

/**
 * A guarded signer. `state`, which health shows, is `open` from the opening of the breaker until a call succeeds again.
 */
export interface GuardedSigner extends Signer {
  readonly state: 'closed' | 'open';
  /** When a call last succeeded, by `performance.now()`. */
  readonly signedAt: number;
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** Seconds after which callers may try again, unless the backend names another time. */
const RETRY_SECONDS = 1;

/**
 * Makes a newly opened signer sign once, and guards it; closes it if that fails. Reading the public half and signing are
 * separate permissions, and a missing one must be found now, not at the first install. Throws `key_invalid` if the
 * signature does not verify, or what the signer throws.
 */
export async function proveAndGuard(signer: Signer): Promise<GuardedSigner> {
  try {
    if (isSignatureOf(signer.publicKey, PROBE, await signer.sign(PROBE))) return guard(signer);
    const detail = `The ${signer.backend} signer returned a signature that does not verify under its public half.`;
    throw new WebdistError('key_invalid', detail);
  } catch (error) {
    await closeBackend(signer.backend, signer.close);
    throw error;
  }
}

/**
 * Guards an opened signer. `sign` throws only `signer_unavailable`, with the backend's name, the cause, and the seconds
 * after which to try again. `close` waits for the running calls.
 */
export function guard(signer: Signer, options: GuardOptions = {}): GuardedSigner {
  const limits = { ...guardDefaults, ...options };
  // The signer has already signed once; see `proveAndGuard`.
  let signedAt = performance.now();
  const failures = new CountBreaker({
    size: limits.windowCalls,
    minimumNumberOfCalls: limits.minimumCalls,
    threshold: limits.failureShare,
  });
  const breaker = openBreaker(
    handleWhen((error) => !isThrottled(error)),
    failures,
    limits.pauseMs,
  );
  const queue = bulkhead(limits.concurrency, limits.queue);
  const inTime = timeout(limits.timeoutMs, TimeoutStrategy.Aggressive);
  const running = new Set<Promise<Uint8Array>>();

  /** While the breaker is open, or its one trial runs, calls fail without queueing. */
  const refuseWhilePaused = () => {
    const leftMs = breaker.leftMs();
    if (leftMs > 0) throw paused(signer, Math.ceil(leftMs / 1000));
    if (breaker.state === 'trial') throw paused(signer, RETRY_SECONDS);
  };

  return {
    backend: signer.backend,
    publicKey: signer.publicKey,
    autoRotation: signer.autoRotation,
    get state() {
      return breaker.state === 'closed' ? 'closed' : 'open';
    },
    get signedAt() {
      return signedAt;
    },
    async sign(data) {
      refuseWhilePaused();
      const signOnce = async () => checked(signer, data, await forBackend(signer.backend, () => signer.sign(data)));
      const call = queue.execute(() => breaker.execute(() => inTime.execute(signOnce)));
      running.add(call);
      try {
        const signature = await call;
        signedAt = performance.now();
        return signature;
      } catch (cause) {
        throw unavailable(signer, cause);
      } finally {
        running.delete(call);
      }
    },
    async close() {
      await Promise.allSettled(running);
      await closeBackend(signer.backend, signer.close);
    },
  };
}

/** Throttling is not failure (see cloud/refusal.ts); it must not open the breaker. */
const isThrottled = (error: unknown) =>
  isWebdistError(error) && hasCode(error, 'signer_unavailable') && error.retryAfterSeconds !== undefined;

function checked(signer: Signer, data: Uint8Array, signature: Uint8Array): Uint8Array {
  if (signature.length !== ES256_SIGNATURE_BYTES)
    throw new Error(
      `The signature has ${signature.length} bytes, not the ${ES256_SIGNATURE_BYTES} of an ES256 signature.`,
    );
  if (!isSignatureOf(signer.publicKey, data, signature))
    throw new Error('The signature does not verify under the public half that was read when the key was opened.');
  return signature;
}

function unavailable({ backend }: Signer, cause: unknown): WebdistError {
  const retryAfterSeconds = (isWebdistError(cause) && cause.retryAfterSeconds) || RETRY_SECONDS;
  const why = isThrottled(cause) ? 'received more requests than it allows' : reasonOf(cause);
  return new WebdistError('signer_unavailable', `The ${backend} signer ${why}.`, { cause, retryAfterSeconds });
}

function reasonOf(cause: unknown): string {
  if (isBulkheadRejectedError(cause)) return 'has too many waiting calls';
  if (isBrokenCircuitError(cause)) return 'keeps failing; calls are paused for a while';
  if (isTaskCancelledError(cause)) return 'did not answer in time';
  return 'failed';
}

const paused = (signer: Signer, retryAfterSeconds: number) =>
  new WebdistError('signer_unavailable', `The ${signer.backend} signer keeps failing; calls are paused for a while.`, {
    retryAfterSeconds,
  });
