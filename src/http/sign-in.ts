/**
 * The website's own sign-in: verifies a customer's JWT (signature, issuer, audience, expiry) with the JWKS that the
 * website publishes. The JWKS is refreshed in the background, so requests wait only for the first fetch. While it
 * cannot be fetched, the last known keys remain valid.
 */

import { createLocalJWKSet, createRemoteJWKSet, customFetch, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import { type Bounds, readUrl } from '../outbound.ts';
import { codeOf, type SignInRefusal, signInRefusal, UNKNOWN_KEY } from './sign-in-refusals.ts';

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

/** The `typ` of a JWT (RFC 7519 §5.1) and of an access token (RFC 9068 §2.1). Others are not for this purpose (RFC 8725 §3.11). */
const TYPES = ['jwt', 'at+jwt'];

/** How far the clock of the sign-in may be from this machine's, in seconds. */
const LEEWAY_SECONDS = 5;

/** Times of the JWKS, in milliseconds. */
export const signInDefaults = {
  /** Time limit for one fetch of the JWKS. */
  fetchMs: 2000,
  /** A key that was removed from the JWKS stays valid for at most this long, if the JWKS can be fetched. */
  refreshMs: 5 * 60 * 1000,
  /** A JWT with an unknown key id causes an immediate fetch of the JWKS, but not more often than this. */
  cooldownMs: 5000,
  /** The longest pause after failed fetches. It doubles with each, from the second in a row on, and has jitter. */
  maxPauseMs: 30_000,
};

const FIRST_PAUSE_MS = 500;
const MAX_JWKS_BYTES = 256 * 1024;
const MAX_KEYS = 200;

/**
 * `issuer` is what `iss` must be, and `audience` what `audienceClaim` must be. The keys are fetched when they are first
 * needed. `refused` is called for every JWT that is refused.
 */
export function openSignIn(
  { jwksUrl, issuer, audience, audienceClaim }: NonNullable<Config['callers']['signIn']>,
  refused: (refusal: SignInRefusal) => void = () => undefined,
  times: Partial<typeof signInDefaults> = {},
): SignIn {
  const { fetchMs, refreshMs, cooldownMs, maxPauseMs } = { ...signInDefaults, ...times };
  // jose's age limit is off, because it would make requests wait. `refreshInBackground` renews the JWKS.
  const remote = createRemoteJWKSet(new URL(jwksUrl), {
    timeoutDuration: fetchMs,
    cooldownDuration: cooldownMs,
    cacheMaxAge: Number.POSITIVE_INFINITY,
    [customFetch]: jwksFetch({ maxBytes: MAX_JWKS_BYTES, timeoutMs: fetchMs }, maxPauseMs),
  });
  const options = {
    issuer,
    ...(audienceClaim === 'aud' && { audience }),
    algorithms: ALGORITHMS,
    requiredClaims: ['exp'],
    clockTolerance: LEEWAY_SECONDS,
  };
  const attempt = async (jwt: string, keys: JWTVerifyGetKey) => {
    const { payload, protectedHeader } = await jwtVerify(jwt, keys, options).catch((error) => withEach(error, jwt));
    const refuse = (name: string) => {
      throw new errors.JWTClaimValidationFailed(`unexpected "${name}"`, payload, name, 'check_failed');
    };
    if (audienceClaim !== 'aud' && payload[audienceClaim] !== audience) refuse(audienceClaim);
    const type = String(protectedHeader.typ ?? 'jwt').toLowerCase();
    if (!TYPES.includes(type.replace(/^application\//, ''))) refuse('typ');
    // A string, if present (RFC 7519 §4.1.2); jose does not check that.
    if (payload.sub !== undefined && (typeof payload.sub !== 'string' || payload.sub === '')) refuse('sub');
    return { subject: payload.sub };
  };
  /** Without a `kid`, or if two keys have the same one, the key that made the signature is found by trying. */
  const withEach = async (error: unknown, jwt: string) => {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
    for await (const key of error)
      try {
        return await jwtVerify(jwt, key, options);
      } catch (cause) {
        if (!(cause instanceof errors.JWSSignatureVerificationFailed)) throw cause;
      }
    throw new errors.JWSSignatureVerificationFailed();
  };
  let fetchedAt = 0;
  const refreshInBackground = () => {
    if (performance.now() - fetchedAt < refreshMs) return;
    fetchedAt = performance.now();
    // If this fails, the last known keys remain valid.
    remote.reload().catch(() => undefined);
  };
  return {
    async verify(jwt) {
      try {
        const known = remote.jwks();
        if (known) refreshInBackground();
        else fetchedAt = performance.now();
        return await attempt(jwt, known ? createLocalJWKSet(known) : remote).catch((error) => {
          if (!known || codeOf(error) !== UNKNOWN_KEY) throw error;
          return attempt(jwt, remote);
        });
      } catch (cause) {
        const refusal = signInRefusal(cause, issuer);
        if (refusal) {
          refused(refusal);
          throw new WebdistError('unauthorized', 'authorization: the JWT is not valid here.', { cause });
        }
        throw new WebdistError('sign_in_unavailable', "The sign-in's keys cannot be fetched.", {
          cause,
          retryAfterSeconds: 5,
        });
      }
    },
  };
}

/** A `fetch` for jose that is bounded, and that makes no request for a while after failures. */
function jwksFetch(bounds: Bounds, maxPauseMs: number) {
  let failures = 0;
  let pausedUntilMs = 0;
  return async (url: string): Promise<Response> => {
    if (performance.now() < pausedUntilMs)
      throw new Error('The last fetches failed; the next one comes after a pause.');
    try {
      const { bytes } = await readUrl(url, bounds);
      const jwks = jwksShape.parse(JSON.parse(bytes.toString('utf8')));
      failures = 0;
      return Response.json(jwks);
    } catch (error) {
      failures += 1;
      const pauseMs = failures < 2 ? 0 : Math.min(maxPauseMs, FIRST_PAUSE_MS * 2 ** (failures - 2));
      pausedUntilMs = performance.now() + pauseMs * (0.5 + Math.random() / 2);
      throw error;
    }
  };
}

/** One check for all keys, because each wrong one would be reported. */
const jwksShape = z.looseObject({
  keys: z.array(z.unknown()).refine((keys) => keys.length <= MAX_KEYS && keys.every(isObject)),
});
const isObject = (value: unknown): boolean => typeof value === 'object' && value !== null && !Array.isArray(value);
