/**
 * What a device would say of an install verification token, told to the person who has to fix it: each claim against
 * Apple's table (docs/apple-facts.md §1.2, §1.3, §10 lines 8 to 26) and the likely cause of each common mistake. Pure. Must not
 * know where the public keys come from. The sandbox's device has checks of its own on purpose.
 */

import type { KeyObject } from 'node:crypto';
import { type ClaimCheck, claimChecks } from './claims.ts';
import { readToken } from './shape.ts';
import { signatureCheck } from './signature.ts';

/** A public half a token may be signed with, and where it came from, in words. Without a key id its id is not known. */
export type KnownKey = { readonly keyId?: string | undefined; readonly publicKey: KeyObject; readonly source: string };

/** What is known beside the token. `app`: whose token it should be. */
export type Known = {
  readonly keys: readonly KnownKey[];
  readonly apps: readonly { readonly appleItemId: string; readonly bundleId: string }[];
  /** The App Store Connect API key, to recognise it where it does not belong. */
  readonly apiKey?: { readonly keyId: string; readonly publicKey?: KeyObject | undefined } | undefined;
  readonly nowSeconds: number;
};

/** `fail`: a device refuses it for this. `cause`: the likely mistake behind it. */
export type TokenCheck = {
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail' | 'info';
  readonly detail: string;
  readonly cause?: string | undefined;
};

/** `header` and `claims` are what could be read; nothing in them is trusted. */
export type TokenVerdict = {
  readonly accepted: boolean;
  readonly header: Readonly<Record<string, unknown>> | undefined;
  readonly claims: Readonly<Record<string, unknown>> | undefined;
  readonly checks: readonly TokenCheck[];
};

/** Takes the token as text. Never throws for what a token can be. */
export function verifyInstallToken(token: string, known: Known): TokenVerdict {
  const { jws, check: shape } = readToken(token);
  if (!jws) return { accepted: false, header: undefined, claims: undefined, checks: [shape] };
  const checks = [
    shape,
    ...headerChecks(jws.header),
    signatureCheck(jws, known),
    ...claimChecks.flatMap((check: ClaimCheck) => check(jws.claims, known) ?? []),
  ];
  const accepted = checks.every(({ result }) => result !== 'fail');
  return { accepted, header: jws.header, claims: jws.claims, checks };
}

function headerChecks({ alg, typ, kid: _, ...others }: Readonly<Record<string, unknown>>): TokenCheck[] {
  const extra = Object.keys(others);
  return [
    alg === 'ES256'
      ? { name: 'alg', result: 'ok', detail: 'ES256: ECDSA on P-256 with SHA-256' }
      : {
          name: 'alg',
          result: 'fail',
          detail: `${JSON.stringify(alg)}, expected "ES256"`,
          cause: 'the JWT library was left at its default, or the key is not on P-256',
        },
    typ === 'JWT'
      ? { name: 'typ', result: 'ok', detail: 'JWT' }
      : { name: 'typ', result: 'fail', detail: `${JSON.stringify(typ)}, expected "JWT"` },
    ...(extra.length === 0
      ? []
      : [
          {
            name: 'header',
            result: 'fail' as const,
            detail: `has ${extra.join(', ').slice(0, 200)} beside alg, kid and typ`,
            cause: 'the JWT library adds members; turn that off',
          },
        ]),
  ];
}
