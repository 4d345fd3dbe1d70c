/** Why a customer's JWT was refused, for the operator: a metric, and occasionally a line in the log. */

import type { errors } from 'jose';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';

/**
 * The claim that is wrong or missing (`iss`, `aud`, `client_id`, `exp`, `nbf`, `sub`), the member of the header (`typ`, `alg`),
 * the `key` that is unknown, the `signature`, or the `form` of the text.
 */
type Reason = 'iss' | 'aud' | 'client_id' | 'exp' | 'nbf' | 'sub' | 'typ' | 'alg' | 'key' | 'signature' | 'form';

export type SignInRefusal = { readonly reason: Reason; readonly hint?: string };

export const UNKNOWN_KEY = 'ERR_JWKS_NO_MATCHING_KEY';

/** By the code of jose's error. For a claim, the error names it. */
const reasons: Readonly<Record<string, Reason | 'claim'>> = {
  ERR_JWT_EXPIRED: 'exp',
  ERR_JWT_CLAIM_VALIDATION_FAILED: 'claim',
  ERR_JWT_INVALID: 'form',
  ERR_JWS_INVALID: 'form',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'signature',
  ERR_JOSE_ALG_NOT_ALLOWED: 'alg',
  ERR_JOSE_NOT_SUPPORTED: 'alg',
  [UNKNOWN_KEY]: 'key',
};

const CLAIMS: readonly string[] = ['iss', 'aud', 'client_id', 'exp', 'nbf', 'sub', 'typ'] satisfies Reason[];

export const codeOf = (error: unknown): string => (error as errors.JOSEError).code;

/** Returns undefined for an error that is not about the JWT itself. */
export function signInRefusal(error: unknown, issuer: string): SignInRefusal | undefined {
  const found = reasons[codeOf(error)];
  if (found !== 'claim') return found && { reason: found };
  const { claim, payload } = error as errors.JWTClaimValidationFailed;
  const reason = CLAIMS.includes(claim) ? (claim as Reason) : 'form';
  // jose verifies the signature first, so this text really is from the sign-in.
  const hint = reason === 'iss' ? issuerHint(String(payload.iss), issuer) : undefined;
  return { reason, ...(hint && { hint }) };
}

/** Returns undefined unless the two issuers differ only in spelling. `iss` is compared byte by byte (RFC 7519 §4.1.1). */
function issuerHint(found: string, expected: string): string | undefined {
  const bare = (text: string) =>
    text
      .trim()
      .toLowerCase()
      .replace(/^https?:\/\//, '')
      .replace(/\/+$/, '');
  return bare(found) === bare(expected)
    ? `The JWT has the issuer "${found}": set WEBDIST_AUTH_ISSUER to exactly that.`
    : undefined;
}

const LOG_EVERY_MS = 60_000;

/** Returns a function that counts each refusal, and logs one for each reason a minute. */
export function reportSignInRefusals(
  { signInsRefused }: Pick<Metrics, 'signInsRefused'>,
  log: Logger,
  nowMs = () => performance.now(),
): (refusal: SignInRefusal) => void {
  const loggedAtMs = new Map<Reason, number>();
  return ({ reason, hint }) => {
    signInsRefused.inc({ reason });
    const now = nowMs();
    if (now - (loggedAtMs.get(reason) ?? Number.NEGATIVE_INFINITY) < LOG_EVERY_MS) return;
    loggedAtMs.set(reason, now);
    log.warn(
      { event: 'sign_in_refused', reason, hint },
      "a customer's JWT was refused; others with this reason are not logged for a minute",
    );
  };
}
