/**
 * The payload of an install verification token (Apple: "Supplying an install verification token"; docs/apple-facts.md
 * §1.2, §1.3). Pure: time and nonce are inputs.
 */

import type { Dtype } from '../ledger/rule.ts';

/** First install of the app on this device, or a later one. Apple passes it on to advertisers. */
export type { Dtype };

/** The audience of every install verification token. */
export const INSTALL_TOKEN_AUDIENCE = 'AppleDownloadVerification-v1';

/** What is known about an install. Apple's ids are decimal strings, never JSON numbers: they may need 64 bits. */
export type KnownClaims = {
  readonly app: { readonly appleItemId: string; readonly bundleId: string };
  /** AppleVersionID of the package in the link, when known. */
  readonly appleVersionId?: string | undefined;
  /** ISO 3166-1 alpha-2, upper case, when known: where the install happens (WWDC25-221). */
  readonly country?: string | undefined;
};

type ClaimsInput = KnownClaims & {
  readonly dtype: Dtype;
  /** Becomes `iat`: seconds since 1970. */
  readonly issuedAtSeconds: number;
  readonly lifetimeSeconds: number;
  /** A version-4 UUID in upper case, never used before. */
  readonly nonce: string;
};

/** Every claim, with its line in the rejection checklist (docs/apple-facts.md §10). */
export const claimLines = {
  aud: 12,
  iss: 13,
  bid: 14,
  iat: 15,
  exp: 16,
  dtype: 19,
  nonce: 21,
  iid: 22,
  vid: 23,
  ccode: 25,
} as const;
export type ClaimName = keyof typeof claimLines;

/**
 * The payload. For an app from a website, `iss` is the app's own AppleItemID. Either both `iid` and `vid` are present,
 * or neither is.
 */
export function claimsFor(input: ClaimsInput) {
  return {
    iss: input.app.appleItemId,
    iat: input.issuedAtSeconds,
    exp: input.issuedAtSeconds + input.lifetimeSeconds,
    aud: INSTALL_TOKEN_AUDIENCE,
    bid: input.app.bundleId,
    dtype: input.dtype,
    nonce: input.nonce,
    ...(input.appleVersionId && { iid: input.app.appleItemId, vid: input.appleVersionId }),
    ...(input.country && { ccode: input.country }),
  } satisfies Partial<Record<ClaimName, unknown>>;
}
