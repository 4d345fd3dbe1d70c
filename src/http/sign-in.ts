/**
 * The website's own sign-in: verifies a customer's JWT against the JWKS the website publishes (issuer, audience,
 * expiry). Nobody waits for a JWKS that is known: it is looked at again behind the requests, and while it cannot be
 * fetched the keys seen last still count.
 */

import { createLocalJWKSet, createRemoteJWKSet, type errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';

export interface SignIn {
  /**
   * Gives the customer's id, the JWT's `sub`. Throws `unauthorized` for a JWT that is not good, `sign_in_unavailable`
   * when no key could be had.
   */
  verify(jwt: string): Promise<{ readonly subject: string | undefined }>;
}

/** Asymmetric algorithms only: with a shared secret whoever can check a JWT could make one. */
const ALGORITHMS = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
];

export const signInDefaults = {
  /** How long one fetch of the JWKS may take. */
  fetchMs: 2000,
  /** A key taken out of the JWKS counts for at most this long, while the JWKS can be fetched. */
  refreshMs: 5 * 60 * 1000,
  /** A JWT with an unknown key id makes the JWKS be fetched at once, but not more often than this. */
  cooldownMs: 5000,
};

/** Takes where the JWKS is and what `iss` and `aud` must be; keys are fetched when first needed. */
export function openSignIn(
  { jwksUrl, issuer, audience }: NonNullable<Config['callers']['signIn']>,
  times: Partial<typeof signInDefaults> = {},
): SignIn {
  const { fetchMs, refreshMs, cooldownMs } = { ...signInDefaults, ...times };
  // Never too old for jose, which would make requests wait: `refreshBehind` keeps it young.
  const remote = createRemoteJWKSet(new URL(jwksUrl), {
    timeoutDuration: fetchMs,
    cooldownDuration: cooldownMs,
    cacheMaxAge: Number.POSITIVE_INFINITY,
  });
  const options = { issuer, audience, algorithms: ALGORITHMS, requiredClaims: ['exp'] };
  const attempt = async (jwt: string, keys: JWTVerifyGetKey) => {
    const { payload } = await jwtVerify(jwt, keys, options);
    return { subject: payload.sub };
  };
  let fetchedAt = 0;
  const refreshBehind = () => {
    if (Date.now() - fetchedAt < refreshMs) return;
    fetchedAt = Date.now();
    // When it fails, the keys seen last still count.
    remote.reload().catch(() => undefined);
  };
  return {
    async verify(jwt) {
      try {
        const known = remote.jwks();
        if (known) refreshBehind();
        else fetchedAt = Date.now();
        return await attempt(jwt, known ? createLocalJWKSet(known) : remote).catch((error) => {
          if (!known || codeOf(error) !== UNKNOWN_KEY) throw error;
          return attempt(jwt, remote);
        });
      } catch (cause) {
        if (ABOUT_JWT.includes(codeOf(cause)))
          throw new WebdistError('unauthorized', 'authorization: the JWT is not valid here.', { cause });
        throw new WebdistError('sign_in_unavailable', 'The keys of the sign-in cannot be fetched.', {
          cause,
          retryAfterSeconds: 5,
        });
      }
    },
  };
}

const UNKNOWN_KEY = 'ERR_JWKS_NO_MATCHING_KEY';

const ABOUT_JWT: readonly string[] = [
  'ERR_JWT_EXPIRED',
  'ERR_JWT_CLAIM_VALIDATION_FAILED',
  'ERR_JWT_INVALID',
  'ERR_JWS_INVALID',
  'ERR_JWS_SIGNATURE_VERIFICATION_FAILED',
  'ERR_JOSE_ALG_NOT_ALLOWED',
  'ERR_JOSE_NOT_SUPPORTED',
  UNKNOWN_KEY,
  'ERR_JWKS_MULTIPLE_MATCHING_KEYS',
];

const codeOf = (error: unknown): string => (error as errors.JOSEError).code;
