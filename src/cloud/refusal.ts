/**
 * How key and secret services refuse a request, in the five ways that webdist distinguishes, and the sentence that an
 * operator reads for each. Absent and denied mean that the key was taken away, which stops signing. What may pass by
 * itself, such as a metadata service that returns no credentials, is unreachable.
 */

import { type ErrorCode, isWebdistError, WebdistError } from '../errors.ts';

/** Why a service did not do what was requested. */
export type Refusal = {
  readonly kind: 'absent' | 'denied' | 'invalid' | 'throttled' | 'unreachable';
  /** Completes "The … key NAME …" in the vendor's own terms; default: the usual words of the kind. */
  readonly why?: string;
  readonly hint?: string;
  /** The vendor's Retry-After, for `throttled` and `unreachable`. */
  readonly retryAfterSeconds?: number;
};

const kinds: Readonly<Record<Refusal['kind'], { code: ErrorCode; why: string; hint?: string }>> = {
  absent: { code: 'key_absent', why: 'does not exist.', hint: 'Check the name in the locator.' },
  denied: {
    code: 'key_denied',
    why: 'may not be used with the credentials found.',
    hint: 'Grant them the permissions that the documentation page of this backend lists.',
  },
  invalid: { code: 'key_invalid', why: 'is not an ECDSA P-256 key for signing.' },
  throttled: { code: 'signer_unavailable', why: 'is throttled: too many requests.' },
  unreachable: {
    code: 'key_unreachable',
    why: 'cannot be reached.',
    hint: 'Check the network, the proxy and the address.',
  },
};

/** The response is not what the service's reference describes. */
export const unreadable: Refusal = { kind: 'invalid', why: 'returned a response that cannot be parsed.' };

/** SDKs do not catch the errors of their own parsing; the network never throws these two. */
export function isUnreadable(thrown: unknown): boolean {
  return thrown instanceof SyntaxError || thrown instanceof TypeError;
}

/** The wait after throttling for which the service named no time. */
const THROTTLED_SECONDS = 1;

/**
 * The error for a refusal. `thing` is the subject of its message (`The AWS KMS key alias/x`); `cause` is what the SDK
 * threw, of which only the message is kept.
 */
export function refused(thing: string, refusal: Refusal, cause?: unknown): WebdistError {
  const usual = kinds[refusal.kind];
  const hint = refusal.hint ?? (refusal.why === undefined ? usual.hint : undefined);
  const retryAfterSeconds = refusal.retryAfterSeconds ?? (refusal.kind === 'throttled' ? THROTTLED_SECONDS : undefined);
  return new WebdistError(usual.code, `${thing} ${refusal.why ?? usual.why}`, {
    ...(cause !== undefined && { cause: messageOnly(cause) }),
    ...(hint !== undefined && { hint }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}

/** Does `work`; what an SDK throws in it becomes the refusal that `classify` returns for it. */
export async function withRefusals<T>(
  thing: string,
  classify: (thrown: unknown) => Refusal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw isWebdistError(cause) ? cause : refused(thing, classify(cause), cause);
  }
}

/** An SDK's error carries its request, credentials included, into logs. */
function messageOnly(thrown: unknown): Error {
  if (!(thrown instanceof Error)) return new Error(String(thrown));
  const { name, message, stack } = thrown;
  const code = 'code' in thrown && ['string', 'number'].includes(typeof thrown.code) ? thrown.code : undefined;
  return Object.assign(new Error(message), { name, stack, ...(code !== undefined && { code }) });
}
