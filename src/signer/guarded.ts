/**
 * What stands between webdist and a signer that is somewhere else: a timeout, a bound on how many calls run and wait,
 * a breaker that stops asking a backend that keeps failing, and a check of every signature before it is handed out. So
 * a slow or lost backend gives `signer_unavailable` at once, not a pile of waiting requests.
 */

import {
  bulkhead,
  CircuitState,
  CountBreaker,
  circuitBreaker,
  handleWhen,
  isBrokenCircuitError,
  isBulkheadRejectedError,
  isTaskCancelledError,
  TimeoutStrategy,
  timeout,
  wrap,
} from 'cockatiel';
import { hasCode, isWebdistError, WebdistError } from '../errors.ts';
import { ES256_SIGNATURE_BYTES, type Signer } from '../jws.ts';
import { isSignatureOf, PROBE } from './proof.ts';

const guardDefaults = {
  /** How long one call may take before it counts as failed. */
  timeoutMs: 2000,
  /** Calls that run at the same time. */
  concurrency: 32,
  /** Calls that wait for their turn; one more is refused. */
  queue: 128,
  /** The breaker looks at this many of the latest calls, once there are `leastCalls` of them. */
  windowCalls: 50,
  leastCalls: 10,
  /** Share of them that must fail for the breaker to open; a backend that errs now and then goes on being asked. */
  failureShare: 0.6,
  /** How long nobody is asked after the breaker opened; then one call tries. */
  pauseMs: 5000,
};

/** Limits of a guard; what is left out is the default. */
export type GuardOptions = Partial<typeof guardDefaults>;

/** A guarded signer. `state` is `open` from when the breaker opens until a call has succeeded again: for health. */
export interface GuardedSigner extends Signer {
  readonly state: 'closed' | 'open';
  sign(data: Uint8Array): Promise<Uint8Array>;
}

/** Without a better answer, callers are asked to come again after this. */
const RETRY_SECONDS = 1;

/**
 * Guards a signer that has just been opened and has signed once; otherwise closes it. To read the public half is one
 * permission and to sign is another: a missing one should show now, not at the first install.
 * Throws `key_invalid` when the signature does not verify, or what the signer throws.
 */
export async function proveAndGuard(signer: Signer): Promise<GuardedSigner> {
  try {
    if (isSignatureOf(signer.publicKey, PROBE, await signer.sign(PROBE))) return guard(signer);
    const detail = `The ${signer.backend} signer returned a signature that does not verify under its public half.`;
    throw new WebdistError('key_invalid', detail);
  } catch (error) {
    await signer.close();
    throw error;
  }
}

/**
 * Puts the guard around an opened signer. Its `sign` throws only `signer_unavailable`, with the backend's name, the
 * cause, and the seconds after which to try again. Its `close` waits for the calls under way.
 */
export function guard(signer: Signer, options: GuardOptions = {}): GuardedSigner {
  const limits = { ...guardDefaults, ...options };
  let pausedUntil = 0;
  const breaker = circuitBreaker(
    handleWhen((error) => !isThrottled(error)),
    {
      breaker: new CountBreaker({
        size: limits.windowCalls,
        minimumNumberOfCalls: limits.leastCalls,
        threshold: limits.failureShare,
      }),
      halfOpenAfter: limits.pauseMs,
    },
  );
  breaker.onBreak(() => {
    pausedUntil = Date.now() + limits.pauseMs;
  });
  const policy = wrap(
    bulkhead(limits.concurrency, limits.queue),
    breaker,
    timeout(limits.timeoutMs, TimeoutStrategy.Aggressive),
  );
  const underWay = new Set<Promise<Uint8Array>>();

  /** Whoever comes while the breaker is open, or while its one trial runs, need not queue to hear no. */
  const refuseWhilePaused = () => {
    const leftMs = pausedUntil - Date.now();
    if (leftMs > 0) throw pausing(signer, Math.ceil(leftMs / 1000));
    if (breaker.state === CircuitState.HalfOpen) throw pausing(signer, RETRY_SECONDS);
  };

  return {
    backend: signer.backend,
    publicKey: signer.publicKey,
    get state() {
      return breaker.state === CircuitState.Closed ? 'closed' : 'open';
    },
    async sign(data) {
      refuseWhilePaused();
      const call = policy.execute(async () => checked(signer, data, await signer.sign(data)));
      underWay.add(call);
      try {
        return await call;
      } catch (cause) {
        throw unavailable(signer, cause);
      } finally {
        underWay.delete(call);
      }
    },
    async close() {
      await Promise.allSettled(underWay);
      await signer.close();
    },
  };
}

/** The backend is well and says "not so fast" (see cloud/refusal.ts): no reason for the breaker to open. */
const isThrottled = (error: unknown) =>
  isWebdistError(error) && hasCode(error, 'signer_unavailable') && error.retryAfterSeconds !== undefined;

function checked(signer: Signer, data: Uint8Array, signature: Uint8Array): Uint8Array {
  if (signature.length !== ES256_SIGNATURE_BYTES)
    throw new Error(
      `The answer has ${signature.length} bytes, not the ${ES256_SIGNATURE_BYTES} of an ES256 signature.`,
    );
  if (!isSignatureOf(signer.publicKey, data, signature))
    throw new Error('The signature does not verify under the public half that was found when the key was opened.');
  return signature;
}

function unavailable({ backend }: Signer, cause: unknown): WebdistError {
  const retryAfterSeconds = (isWebdistError(cause) && cause.retryAfterSeconds) || RETRY_SECONDS;
  const why = isThrottled(cause) ? 'is asked for more signatures than it allows' : reasonOf(cause);
  return new WebdistError('signer_unavailable', `The ${backend} signer ${why}.`, { cause, retryAfterSeconds });
}

function reasonOf(cause: unknown): string {
  if (isBulkheadRejectedError(cause)) return 'has too many calls waiting';
  if (isBrokenCircuitError(cause)) return 'keeps failing and is left alone for a while';
  if (isTaskCancelledError(cause)) return 'did not answer in time';
  return 'failed';
}

const pausing = (signer: Signer, retryAfterSeconds: number) =>
  new WebdistError('signer_unavailable', `The ${signer.backend} signer keeps failing and is left alone for a while.`, {
    retryAfterSeconds,
  });
