/**
 * How key and secret services say no, in the five ways webdist tells apart, and the sentence an operator reads for
 * each. Absent and denied mean that somebody took the key away, which stops signing: what may pass by itself, such as
 * a metadata service that gives no credentials, is unreachable.
 */

import { type ErrorCode, WebdistError } from '../errors.ts';

/** One answer of a cloud service that is not what was asked for. */
export type Refusal = {
  readonly kind: 'absent' | 'denied' | 'invalid' | 'throttled' | 'unreachable';
  /** Completes "The … key NAME …": says what is wrong in the vendor's own terms; without it, the kind's usual words. */
  readonly why?: string;
  readonly hint?: string;
  /** What the vendor's Retry-After says, for `throttled` and `unreachable`. */
  readonly retryAfterSeconds?: number;
};

const kinds: Readonly<Record<Refusal['kind'], { code: ErrorCode; why: string; hint?: string }>> = {
  absent: { code: 'key_absent', why: 'is not there.', hint: 'Check the name in the locator.' },
  denied: {
    code: 'key_denied',
    why: 'may not be used with the credentials found.',
    hint: 'Grant them the permissions of the documentation page of this backend.',
  },
  invalid: { code: 'key_invalid', why: 'is not an ECDSA P-256 key for signing.' },
  throttled: { code: 'signer_unavailable', why: 'is asked for too often (throttled).' },
  unreachable: {
    code: 'key_unreachable',
    why: 'cannot be reached.',
    hint: 'Check the network, the proxy and the address.',
  },
};

/** What came back is not what the service's reference describes. */
export const unreadable: Refusal = { kind: 'invalid', why: 'gave an answer that cannot be read.' };

/** SDKs let through what their parsing throws; the network never throws these two. */
export function isUnreadable(thrown: unknown): boolean {
  return thrown instanceof SyntaxError || thrown instanceof TypeError;
}

/** What a service asks callers to wait when it throttles without naming a time. */
const THROTTLED_SECONDS = 1;

/**
 * Takes the thing in words (`The AWS KMS key alias/x`), the refusal and what was thrown; gives the error to throw, with
 * what the SDK said as its cause.
 */
export function refused(thing: string, refusal: Refusal, cause?: unknown): WebdistError {
  const usual = kinds[refusal.kind];
  const hint = refusal.hint ?? (refusal.why === undefined ? usual.hint : undefined);
  const retryAfterSeconds = refusal.retryAfterSeconds ?? (refusal.kind === 'throttled' ? THROTTLED_SECONDS : undefined);
  return new WebdistError(usual.code, `${thing} ${refusal.why ?? usual.why}`, {
    ...(cause !== undefined && { cause: said(cause) }),
    ...(hint !== undefined && { hint }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}

/** An SDK's error drags its request along, credentials and all, into logs: what it says is all that is kept of it. */
function said(thrown: unknown): Error {
  if (!(thrown instanceof Error)) return new Error(String(thrown));
  const { name, message, stack } = thrown;
  const code = 'code' in thrown && ['string', 'number'].includes(typeof thrown.code) ? thrown.code : undefined;
  return Object.assign(new Error(message), { name, stack, ...(code !== undefined && { code }) });
}
