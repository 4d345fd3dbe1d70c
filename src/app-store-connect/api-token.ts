/**
 * The bearer JWTs that Apple's server APIs take, one kind for each kind of API key, and a source that keeps one for
 * App Store Connect. Never to be mixed up with an install verification token.
 */

import { WebdistError } from '../errors.ts';
import { type Signer, signCompact, signingKey } from '../jws.ts';

/** The kinds of API keys Apple hands out (docs/apple-facts.md §7). */
export type ApiKeyKind = 'team' | 'individual' | 'in-app-purchase';

/** What goes into a bearer JWT. The kind decides which members are used; the others may be there and are left out. */
export type ApiTokenRequest = {
  readonly kind: ApiKeyKind;
  /** The issuer's UUID; needed unless `individual`. */
  readonly issuerId?: string | undefined;
  /** Needed for `in-app-purchase`. */
  readonly bundleId?: string | undefined;
  /** Whole seconds since 1970. */
  readonly issuedAtSeconds: number;
  /** `exp - iat`. */
  readonly lifetimeSeconds: number;
  /** Entries `GET /path[?query]` that the JWT is good for, and nothing else; not with `in-app-purchase`. */
  readonly scope?: readonly string[] | undefined;
};

const AUDIENCE = 'appstoreconnect-v1';

const maxLifetimeSeconds: Readonly<Record<ApiKeyKind, number>> = {
  team: 20 * 60,
  individual: 20 * 60,
  'in-app-purchase': 60 * 60,
};

/**
 * The payload of a bearer JWT (Apple: Generating Tokens for API Requests; Generating JSON Web Tokens for API requests).
 * Gives a plain object. Throws `usage_invalid` when a member the kind needs is missing or the lifetime is not one Apple takes.
 */
export function apiTokenClaims(
  request: ApiTokenRequest,
): Readonly<Record<string, string | number | readonly string[]>> {
  const { kind, issuedAtSeconds: iat } = request;
  const exp = iat + checkedLifetime(request);
  const scope = checkedScope(request);
  if (kind === 'individual') return { sub: 'user', iat, exp, aud: AUDIENCE, ...scope };
  const iss = needed(request.issuerId, kind, 'the issuer id (ASC_ISSUER_ID)');
  if (kind === 'team') return { iss, iat, exp, aud: AUDIENCE, ...scope };
  return { iss, iat, exp, aud: AUDIENCE, bid: needed(request.bundleId, kind, 'a bundle id (WEBDIST_BUNDLE_ID)') };
}

/**
 * Signs a bearer JWT with the private half of the API key `keyId`; gives the compact JWS.
 * Throws as {@link apiTokenClaims} does, `usage_invalid` without a key id, and `signer_unavailable`.
 */
export async function buildApiToken(
  signer: Pick<Signer, 'backend' | 'sign'>,
  keyId: string,
  request: ApiTokenRequest,
): Promise<string> {
  const kid = needed(keyId, request.kind, 'the key id (ASC_KEY_ID)');
  return signCompact(signingKey(signer, kid), apiTokenClaims(request));
}

function checkedLifetime({ kind, lifetimeSeconds, issuedAtSeconds }: ApiTokenRequest): number {
  const max = maxLifetimeSeconds[kind];
  if (!Number.isSafeInteger(issuedAtSeconds) || issuedAtSeconds < 0)
    throw new WebdistError('usage_invalid', 'The time of issue has to be whole seconds since 1970.');
  if (!Number.isInteger(lifetimeSeconds) || lifetimeSeconds < 1 || lifetimeSeconds > max)
    throw new WebdistError(
      'usage_invalid',
      `An API token of the kind ${kind} cannot live ${lifetimeSeconds} seconds.`,
      {
        hint: `Give whole seconds from 1 to ${max}.`,
      },
    );
  return lifetimeSeconds;
}

function checkedScope({ kind, scope = [] }: ApiTokenRequest): { readonly scope?: readonly string[] } {
  if (scope.length === 0) return {};
  if (kind === 'in-app-purchase')
    throw new WebdistError('usage_invalid', 'An API token of the kind in-app-purchase has no scope.');
  const wrong = scope.find((entry) => !/^GET \/\S*$/.test(entry));
  if (wrong !== undefined)
    throw new WebdistError('usage_invalid', `The scope "${wrong}" is not one Apple takes: it describes GET only.`, {
      hint: 'Give entries such as "GET /v1/apps".',
    });
  return { scope };
}

function needed(value: string | undefined, kind: ApiKeyKind, what: string): string {
  if (!value) throw new WebdistError('usage_invalid', `An API token of the kind ${kind} needs ${what}.`);
  return value;
}

/** From `iat` to `exp` of a token for our own calls; half of what Apple allows, so that a clock may be wrong. */
const OWN_LIFETIME_SECONDS = 600;

/** `iat` lies this far in the past, so that a clock that is a little fast does not make a token of the future. */
const BACKDATED_SECONDS = 30;

/** A token is replaced this long before it ends, so that no request with retries outlives it. */
const RENEWED_BEFORE_SECONDS = 60;

/** Keeps one bearer JWT for App Store Connect. */
export type ApiTokenSource = {
  /** The current JWT, or a new one when it is about to end; callers at the same time share one signing. */
  read(): Promise<string>;
  /** Apple refused this JWT: the next `read` signs another one, unless somebody else's already did. */
  discard(apiToken: string): void;
};

/**
 * Makes a source for a team key, or for an individual key when there is no issuer id. `nowSeconds` is Apple's clock as
 * well as it is known; when it jumps, a token that is of the future by the new time is replaced.
 * `read` throws `signer_unavailable` and tries anew the next time.
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
        // Whoever awaits the signing gets the error; the next read must not get it again.
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
