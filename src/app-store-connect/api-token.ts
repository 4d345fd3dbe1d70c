/**
 * Makes the bearer JWTs of Apple's server APIs (docs/apple-facts.md §4.1), one form for each kind of API key, and keeps
 * a valid one for App Store Connect. These JWTs are not install verification tokens.
 */

import { WebdistError } from '../errors.ts';
import { type Signer, signCompact, signingKey } from '../jws.ts';

/** The kinds of API keys that Apple issues (docs/apple-facts.md §7). */
export type ApiKeyKind = 'team' | 'individual' | 'in-app-purchase';

/** The input for a bearer JWT. The kind decides which members are used; the others are ignored. */
export type ApiTokenRequest = {
  readonly kind: ApiKeyKind;
  /** The issuer's UUID; required unless `individual`. */
  readonly issuerId?: string | undefined;
  /** Required for `in-app-purchase`. */
  readonly bundleId?: string | undefined;
  /** Whole seconds since 1970. */
  readonly issuedAtSeconds: number;
  /** `exp - iat`. */
  readonly lifetimeSeconds: number;
  /** The only requests that the JWT authorizes, as `GET /path[?query]`; not for `in-app-purchase`. */
  readonly scope?: readonly string[] | undefined;
};

const AUDIENCE = 'appstoreconnect-v1';

const maxLifetimeSeconds: Readonly<Record<ApiKeyKind, number>> = {
  team: 20 * 60,
  individual: 20 * 60,
  'in-app-purchase': 60 * 60,
};

/**
 * Returns the payload of a bearer JWT as a plain object.
 * https://developer.apple.com/documentation/appstoreconnectapi/generating-tokens-for-api-requests
 * https://developer.apple.com/documentation/appstoreserverapi/generating-json-web-tokens-for-api-requests
 * Throws `usage_invalid` when a member that the kind requires is missing, or Apple would refuse the lifetime or scope.
 */
export function apiTokenClaims(
  request: ApiTokenRequest,
): Readonly<Record<string, string | number | readonly string[]>> {
  const { kind, issuedAtSeconds: iat } = request;
  const exp = iat + checkedLifetime(request);
  const scope = checkedScope(request);
  if (kind === 'individual') return { sub: 'user', iat, exp, aud: AUDIENCE, ...scope };
  const iss = required(request.issuerId, kind, 'the issuer id (ASC_ISSUER_ID)');
  if (kind === 'team') return { iss, iat, exp, aud: AUDIENCE, ...scope };
  return { iss, iat, exp, aud: AUDIENCE, bid: required(request.bundleId, kind, 'a bundle id (WEBDIST_BUNDLE_ID)') };
}

/**
 * Signs a bearer JWT with the private half of the API key `keyId`; returns the compact JWS.
 * Throws what {@link apiTokenClaims} throws, `usage_invalid` without a key id, and `signer_unavailable`.
 */
export async function buildApiToken(
  signer: Pick<Signer, 'backend' | 'sign'>,
  keyId: string,
  request: ApiTokenRequest,
): Promise<string> {
  const kid = required(keyId, request.kind, 'the key id (ASC_KEY_ID)');
  return signCompact(signingKey(signer, kid), apiTokenClaims(request));
}

function checkedLifetime({ kind, lifetimeSeconds, issuedAtSeconds }: ApiTokenRequest): number {
  const max = maxLifetimeSeconds[kind];
  if (!Number.isSafeInteger(issuedAtSeconds) || issuedAtSeconds < 0)
    throw new WebdistError('usage_invalid', 'The time of issue must be whole seconds since 1970.');
  if (!Number.isInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > max)
    throw new WebdistError(
      'usage_invalid',
      `An API token of the kind ${kind} cannot be valid for ${lifetimeSeconds} seconds.`,
      { hint: `Use a whole number of seconds from 1 to ${max}.` },
    );
  return lifetimeSeconds;
}

function checkedScope({ kind, scope = [] }: ApiTokenRequest): { readonly scope?: readonly string[] } {
  if (scope.length === 0) return {};
  if (kind === 'in-app-purchase')
    throw new WebdistError('usage_invalid', 'An API token of the kind in-app-purchase has no scope.');
  const wrong = scope.find((entry) => !/^GET \/\S*$/.test(entry));
  if (wrong !== undefined)
    throw new WebdistError('usage_invalid', `Apple does not accept the scope "${wrong}": scopes allow GET only.`, {
      hint: 'Use entries such as "GET /v1/apps".',
    });
  return { scope };
}

function required(value: string | undefined, kind: ApiKeyKind, what: string): string {
  if (!value) throw new WebdistError('usage_invalid', `An API token of the kind ${kind} needs ${what}.`);
  return value;
}

/**
 * Time from `iat` to `exp` of a JWT for our own requests. It is half of what Apple allows, to tolerate a wrong clock.
 */
const OWN_LIFETIME_SECONDS = 600;

/**
 * `iat` is this far in the past, because Apple refuses one that is in the future, as it is if this machine's clock is
 * slightly fast (docs/apple-facts.md §4.1).
 */
export const BACKDATED_SECONDS = 30;

/** A JWT is replaced this long before it expires, so that it stays valid during a request and its retries. */
const RENEWED_BEFORE_SECONDS = 60;

/** Keeps one bearer JWT for App Store Connect. */
export type ApiTokenSource = {
  /**
   * Returns the current JWT, or a new one if the current one is about to expire. Simultaneous callers share one
   * signature.
   */
  read(): Promise<string>;
  /**
   * To be called when Apple refused this JWT. The next `read` then signs a new one, unless one has been signed already.
   */
  discard(apiToken: string): void;
};

/**
 * Returns a source for a team key, or for an individual key if there is no issuer id. `nowSeconds` is the best estimate
 * of Apple's clock. If it jumps back, a JWT whose `iat` is then in the future is replaced. `read` throws
 * `signer_unavailable`; the next call tries again.
 */
export function apiTokenSource(options: {
  readonly signer: Pick<Signer, 'backend' | 'sign'>;
  readonly keyId: string;
  readonly issuerId?: string | undefined;
  readonly nowSeconds: () => number;
}): ApiTokenSource {
  const { signer, keyId, issuerId, nowSeconds } = options;
  type Minted = { readonly issuedAtSeconds: number; readonly signing: Promise<string>; apiToken?: string };
  let current: Minted | undefined;

  const mint = (): Minted => {
    const issuedAtSeconds = Math.floor(nowSeconds()) - BACKDATED_SECONDS;
    const kind = issuerId ? 'team' : 'individual';
    const request = { kind, issuerId, issuedAtSeconds, lifetimeSeconds: OWN_LIFETIME_SECONDS } as const;
    const minted: Minted = { issuedAtSeconds, signing: buildApiToken(signer, keyId, request) };
    minted.signing.then(
      (apiToken) => {
        minted.apiToken = apiToken;
      },
      () => {
        // The callers that await this signature get its error, but the next caller must not.
        if (current === minted) current = undefined;
      },
    );
    return minted;
  };
  const isUsable = ({ issuedAtSeconds }: Minted) => {
    const ageSeconds = nowSeconds() - issuedAtSeconds;
    return ageSeconds >= 0 && ageSeconds < OWN_LIFETIME_SECONDS - RENEWED_BEFORE_SECONDS;
  };

  return {
    read() {
      if (!current || !isUsable(current)) current = mint();
      return current.signing;
    },
    discard(apiToken) {
      if (current?.apiToken === apiToken) current = undefined;
    },
  };
}
