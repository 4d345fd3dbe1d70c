/**
 * The kinds of refusal by key and secret services that webdist distinguishes, and the sentence that an operator reads
 * for each. Absent and denied mean that the key was taken away, which stops signing. A failure that may pass by itself,
 * such as a metadata service that returns no credentials, is unreachable.
 */

import { proxyProblem } from '../connection-problem.ts';
import { type ErrorCode, isWebdistError, WebdistError } from '../errors.ts';
import { httpStatus, member, vendorError } from './vendor-error.ts';

/** Why a service did not carry out a request. */
export type Refusal = {
  readonly kind: 'absent' | 'denied' | 'invalid' | 'throttled' | 'unreachable';
  /** Completes "The … key NAME …" in the vendor's own terms. Default: the usual words for this kind. */
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
  invalid: {
    code: 'key_invalid',
    why: 'is not an ECDSA P-256 key for signing.',
    hint: 'Use a key of that kind; the documentation page of this backend says how to create one.',
  },
  throttled: {
    code: 'signer_unavailable',
    why: 'is throttled: too many requests.',
    hint: 'Wait, or have its quota raised.',
  },
  unreachable: {
    code: 'key_unreachable',
    why: 'cannot be reached.',
    hint: 'Check the network, the proxy and the address.',
  },
};

/**
 * The response does not have the form in the service's reference. It says nothing about the key, so the key stays in
 * use.
 */
export const unreadable: Refusal = { kind: 'unreachable', why: 'returned a response that cannot be parsed.' };

/**
 * A response that is not in the service's own format, such as a proxy's 404 or a firewall's 403. It says nothing about
 * the key. `vendor` is the service, such as `AWS`.
 */
export const foreign = (vendor: string, status?: number): Refusal => ({
  kind: 'unreachable',
  why: `cannot be reached: a response${status === undefined ? '' : ` with the status ${status}`} did not come from ${vendor}.`,
  hint: 'Check the address, and any proxy or firewall in between.',
});

/**
 * Classifies a failure of the connection by its code, which may be anywhere in the chain of causes. An unknown failure
 * becomes `cannot be reached` or, if it has an HTTP status, a foreign response. `authorities` says how to trust a private
 * certificate authority.
 */
export function connectionRefusal(thrown: unknown, vendor: string, authorities: string): Refusal {
  const ofProxy = proxyRefusal(thrown);
  if (ofProxy) return ofProxy;
  for (let [error, depth] = [thrown, 0]; error !== undefined && depth < 5; error = member(error, 'cause'), depth++) {
    if (isUntrusted(member(error, 'code')))
      return { kind: 'unreachable', why: 'cannot be reached: its certificate is not trusted.', hint: authorities };
    const why = connections[String(member(error, 'code'))] ?? connections[String(member(error, 'name'))];
    if (why) return { kind: 'unreachable', why: `cannot be reached: ${why}.`, hint: CHECK_NETWORK };
    // SDKs do not catch errors of their own parsing. The network never throws these two.
    const status = httpStatus(error);
    if (status !== undefined && status >= 500)
      return {
        kind: 'unreachable',
        why: `is not available: ${vendor} returned ${status}.`,
        hint: `Wait until ${vendor} works again; its status page may say when.`,
      };
    if (status !== undefined && status !== 200) return foreign(vendor, status);
    if (error instanceof SyntaxError || error instanceof TypeError) return unreadable;
  }
  return { kind: 'unreachable' };
}

/** A refusal of the proxy between webdist and the service; undefined for any other error. */
function proxyRefusal(thrown: unknown): Refusal | undefined {
  const problem = proxyProblem(thrown);
  return problem && { kind: 'unreachable', why: `${problem.what}.`, ...(problem.hint && { hint: problem.hint }) };
}

/** The codes of Node.js and OpenSSL for a certificate of an unknown authority. */
const isUntrusted = (code: unknown) =>
  typeof code === 'string' && /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_UNTRUSTED)/.test(code);

const CHECK_NETWORK = 'Check the network, the proxy and the address.';

const connections: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host name',
  EPROTO: 'the TLS connection failed',
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was closed',
  EHOSTUNREACH: 'there is no route to the host',
  ENETUNREACH: 'there is no route to the network',
  ENOTFOUND: 'the host name does not resolve',
  EAI_AGAIN: 'the host name cannot be resolved now',
  ETIMEDOUT: 'it did not answer in time',
  TimeoutError: 'it did not answer in time',
  AbortError: 'it did not answer in time',
};

/** How long to wait after throttling, if the service did not say. */
const THROTTLED_SECONDS = 1;

/**
 * Returns the error for a refusal. `thing` is the subject of its message (`The AWS KMS key alias/x`). `cause` is what
 * the SDK threw; only its codes are kept.
 */
export function refused(thing: string, refusal: Refusal, cause?: unknown): WebdistError {
  const usual = kinds[refusal.kind];
  const hint = refusal.hint ?? (refusal.why === undefined ? usual.hint : undefined);
  const retryAfterSeconds = refusal.retryAfterSeconds ?? (refusal.kind === 'throttled' ? THROTTLED_SECONDS : undefined);
  return new WebdistError(usual.code, `${thing} ${refusal.why ?? usual.why}`, {
    ...(cause !== undefined && { cause: vendorError(cause) }),
    ...(hint !== undefined && { hint }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });
}

/** Runs `work`. An error that an SDK throws in it becomes the refusal that `classify` returns for it. */
export async function withRefusals<T>(
  thing: string,
  classify: (thrown: unknown) => Refusal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw isWebdistError(cause) ? cause : refused(thing, proxyRefusal(cause) ?? classify(cause), cause);
  }
}
