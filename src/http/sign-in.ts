/**
 * The website's own sign-in: verifies a customer's JWT (signature, issuer, audience, expiry) with the JWKS that the
 * website publishes. The JWKS is refreshed in the background, so requests wait only for the first fetch. While it
 * cannot be fetched, the last known keys remain valid.
 */

import { createLocalJWKSet, createRemoteJWKSet, type errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';

/** Verifies the JWTs of signed-in customers. */
export interface SignIn {
  /**
   * Returns the customer's id, which is the JWT's `sub`. Throws `unauthorized` for an invalid JWT, and
   * `sign_in_unavailable` if no key could be fetched.
   */
  verify(jwt: string): Promise<{ readonly subject: string | undefined }>;
}

/**
 * Only asymmetric algorithms are accepted. With a shared secret, a server that can verify a JWT could also make one.
 */
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

/** Times of the JWKS, in milliseconds. */
export const signInDefaults = {
  /** Time limit for one fetch of the JWKS. */
  fetchMs: 2000,
  /** A key that was removed from the JWKS stays valid for at most this long, if the JWKS can be fetched. */
  refreshMs: 5 * 60 * 1000,
  /** A JWT with an unknown key id causes an immediate fetch of the JWKS, but not more often than this. */
  cooldownMs: 5000,
};

/** `issuer` and `audience` are what `iss` and `aud` must be. The keys are fetched when they are first needed. */
export function openSignIn(
  { jwksUrl, issuer, audience }: NonNullable<Config['callers']['signIn']>,
  times: Partial<typeof signInDefaults> = {},
): SignIn {
  const { fetchMs, refreshMs, cooldownMs } = { ...signInDefaults, ...times };
  // jose's age limit is off, because it would make requests wait. `refreshInBackground` renews the JWKS.
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
  const refreshInBackground = () => {
    if (Date.now() - fetchedAt < refreshMs) return;
    fetchedAt = Date.now();
    // If this fails, the last known keys remain valid.
    remote.reload().catch(() => undefined);
  };
  return {
    async verify(jwt) {
      try {
        const known = remote.jwks();
        if (known) refreshInBackground();
        else fetchedAt = Date.now();
        return await attempt(jwt, known ? createLocalJWKSet(known) : remote).catch((error) => {
          if (!known || codeOf(error) !== UNKNOWN_KEY) throw error;
          return attempt(jwt, remote);
        });
      } catch (cause) {
        if (INVALID_JWT.includes(codeOf(cause)))
          throw new WebdistError('unauthorized', 'authorization: the JWT is not valid here.', { cause });
        throw new WebdistError('sign_in_unavailable', "The sign-in's keys cannot be fetched.", {
          cause,
          retryAfterSeconds: 5,
        });
      }
    },
  };
}

const UNKNOWN_KEY = 'ERR_JWKS_NO_MATCHING_KEY';

const INVALID_JWT: readonly string[] = [
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
