/**
 * Authorization at the simulated App Store Connect: checks the bearer JWT (docs/apple-facts.md §4.1, §7) and the hourly
 * limit of each API key (§4.10).
 */

import { createPublicKey } from 'node:crypto';
import { compactVerify, decodeProtectedHeader } from 'jose';
import { z } from 'zod';
import type { ApiKey } from '../state.ts';
import { AppleRefusal } from './json-api.ts';

/** The longest `exp - iat` that Apple accepts. */
const MAX_LIFETIME_SECONDS = 20 * 60;

const AUDIENCE = 'appstoreconnect-v1';

const headerSchema = z.looseObject({
  alg: z.literal('ES256'),
  typ: z.literal('JWT'),
  kid: z.string(),
  jwk: z.undefined().optional(),
  crit: z.undefined().optional(),
});
const claimsSchema = z.looseObject({
  aud: z.union([z.literal(AUDIENCE), z.tuple([z.literal(AUDIENCE)])]),
  iat: z.number().optional(),
  exp: z.number(),
  bid: z.undefined('only JWTs of In-App Purchase keys have one').optional(),
  scope: z.array(z.string()).optional(),
});

/** The parts of a request that are checked. `target` is path and query; `nowMs` is the simulated clock. */
export type BearerCheck = {
  readonly authorization: string | undefined;
  readonly method: string;
  readonly target: string;
  readonly nowMs: number;
};

/**
 * Returns the API key that signed the JWT, and a warning if Apple accepts the JWT although its documentation excludes
 * it. Throws 401 `NOT_AUTHORIZED` with the reason in `detail`, or 403 `FORBIDDEN_ERROR` for a scoped JWT that does not
 * cover the request.
 */
export async function checkBearer(check: BearerCheck, apiKeys: readonly ApiKey[]) {
  const jwt = /^Bearer ([\w-]+\.[\w-]+\.[\w-]+)$/i.exec(check.authorization ?? '')?.[1];
  if (!jwt) throw unauthorized('the Authorization header is not `Bearer` followed by a compact JWT');
  const key = keyOf(jwt, apiKeys);
  const claims = await claimsOf(jwt, key);
  const nowSeconds = check.nowMs / 1000;
  const { iat = Math.floor(nowSeconds) } = claims;
  if (claims.exp <= nowSeconds) throw unauthorized('exp is in the past');
  if (claims.exp <= iat) throw unauthorized('exp is not after iat');
  if (claims.exp - iat > MAX_LIFETIME_SECONDS)
    throw unauthorized(`exp - ${claims.iat === undefined ? 'now' : 'iat'} is more than 20 minutes`);
  // The clock of a client that rounds to whole seconds is up to one second ahead.
  if (iat > Math.ceil(nowSeconds)) throw unauthorized('iat is in the future');
  if (claims.scope && !claims.scope.some((entry) => covers(entry, check)))
    throw new AppleRefusal(403, 'FORBIDDEN_ERROR', 'No entry of the token’s scope matches this request.');
  return { key, warning: warningOf(claims) };
}

/** Finds deviations from Apple's documentation that widely used clients send and Apple accepts (§4.1). */
function warningOf({ iat, exp, aud }: z.output<typeof claimsSchema>): string | undefined {
  const unusual = [
    iat === undefined && 'no iat',
    typeof aud !== 'string' && 'aud in an array',
    [iat ?? 0, exp].some((time) => !Number.isInteger(time)) && 'a time with a fraction of a second',
  ].filter((name) => name !== false);
  return unusual.length === 0
    ? undefined
    : `The JWT has ${unusual.join(', ')}: Apple does not document that it accepts this.`;
}

function keyOf(jwt: string, apiKeys: readonly ApiKey[]): ApiKey {
  let decoded: unknown;
  try {
    decoded = decodeProtectedHeader(jwt);
  } catch {
    throw unauthorized('the header of the JWT is not JSON');
  }
  const header = headerSchema.safeParse(decoded);
  if (!header.success) throw unauthorized(`header: ${z.prettifyError(header.error)}`);
  const key = apiKeys.find(({ keyId }) => keyId === header.data.kid);
  if (!key) throw unauthorized('kid is not the id of an API key of this account');
  if (key.kind === 'in-app-purchase') throw unauthorized('an In-App Purchase key cannot be used with this API');
  return key;
}

async function claimsOf(jwt: string, key: ApiKey) {
  let payload: unknown;
  try {
    const verified = await compactVerify(jwt, createPublicKey(key.privateKeyPem), { algorithms: ['ES256'] });
    payload = JSON.parse(new TextDecoder().decode(verified.payload));
  } catch {
    throw unauthorized(
      'the signature does not verify with the public half of this API key, or the payload is not JSON',
    );
  }
  const claims = claimsSchema.safeParse(payload);
  if (!claims.success) throw unauthorized(`payload: ${z.prettifyError(claims.error)}`);
  const { iss, sub } = claims.data;
  if (key.kind === 'team' && (iss !== key.issuerId || sub !== undefined))
    throw unauthorized('the JWT of a team key has the issuer id as iss, and no sub');
  if (key.kind === 'individual' && (iss !== undefined || sub !== 'user'))
    throw unauthorized('the JWT of an individual key has sub `user`, and no iss');
  return claims.data;
}

const unauthorized = (reason: string) =>
  new AppleRefusal(
    401,
    'NOT_AUTHORIZED',
    'Provide a properly configured and signed bearer token, and make sure that it has not expired. ' +
      `Simulated App Store Connect: ${reason}.`,
  );

/** When Apple compares a scope entry with a request, it ignores these parameters, and the order of the others. */
const ignoredInScope = ['limit', 'cursor', 'sort'];

function covers(entry: string, check: BearerCheck): boolean {
  const [method, target, ...rest] = entry.split(' ');
  if (method !== 'GET' || check.method !== 'GET' || !target?.startsWith('/') || rest.length > 0) return false;
  return comparable(target) === comparable(check.target);
}

function comparable(target: string): string {
  const [path, query] = target.split('?', 2);
  const parameters = new URLSearchParams(query);
  for (const name of ignoredInScope) parameters.delete(name);
  parameters.sort();
  return `${path}?${parameters}`;
}

/** An API key's limit, and how many requests remain in the rolling hour. */
export type Allowance = { readonly limit: number; readonly remaining: number };

/** Counts requests for each API key over a rolling hour. */
export function openHourlyLimit(limit: number, now: () => number) {
  const taken = new Map<string, number[]>();
  return {
    /** Counts one request. Throws 429 `RATE_LIMIT_EXCEEDED`. Such a refusal does not count. */
    take(keyId: string): Allowance {
      const since = now() - 60 * 60 * 1000;
      const times = (taken.get(keyId) ?? []).filter((time) => time > since);
      taken.set(keyId, times);
      if (times.length >= limit)
        throw new AppleRefusal(429, 'RATE_LIMIT_EXCEEDED', 'The hourly limit of this API key is used up.');
      times.push(now());
      return { limit, remaining: limit - times.length };
    },
  };
}
