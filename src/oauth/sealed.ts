/**
 * The tokens of webdist's own OAuth: encrypted JWTs (RFC 7519, RFC 7516; direct encryption with A256GCM), each valid for one
 * purpose. Nothing is stored, and only webdist can read the subject in them.
 */

import { EncryptJWT, type errors, jwtDecrypt } from 'jose';
import { z } from 'zod';
import { WebdistError } from '../errors.ts';

/** Identifies a device or a customer in the ledger. */
const subject = z.strictObject({ kind: z.enum(['device', 'caller']), id: z.string() });

/**
 * The install that a link was issued for. A restore before the link's token expires belongs to this install, and has
 * its `dtype`.
 */
const linkedInstall = z.strictObject({
  appleItemId: z.string(),
  dtype: z.enum(['download', 'redownload']),
  untilSeconds: z.int(),
});

const grant = z.object({ subject: subject.optional(), install: linkedInstall.optional() });

/** The content of each kind of token. `typ` and `aud` bind a token to its kind (RFC 8725 §3.11). */
const kinds = {
  /** The `token` of an install URL, which the OS exchanges for an access token. */
  link: grant,
  access: grant,
  /** One of a family: each is used once and replaced by the next one. The end of the family is set when it begins. */
  refresh: grant.pick({ subject: true }).extend({ family: z.string(), turn: z.int(), untilSeconds: z.int() }),
  /** The state that the login page passes back from the authorization endpoint. */
  login: z.object({
    clientId: z.string(),
    codeChallenge: z.string(),
    redirectUri: z.string(),
    state: z.string().optional(),
  }),
  code: grant.extend({ clientId: z.string(), codeChallenge: z.string(), redirectUri: z.string() }),
} as const;

type SealedKind = keyof typeof kinds;
type Sealed<K extends SealedKind> = z.output<(typeof kinds)[K]>;
/** The subject and the install that a token stands for. */
export type Grant = z.output<typeof grant>;

/** Makes and opens the encrypted tokens. */
export interface Seals {
  /** Returns a compact JWE, which expires after `lifetimeSeconds`. */
  seal<K extends SealedKind>(kind: K, content: Sealed<K>, lifetimeSeconds: number): Promise<string>;
  /** Returns the content and the token's id. Throws `unauthorized` for a token of another kind or an expired one. */
  open<K extends SealedKind>(kind: K, jwt: string): Promise<Sealed<K> & { readonly id: string }>;
}

/** `key` has 32 bytes, and is used for nothing else. `now` returns milliseconds since 1970. */
export function openSeals(key: Uint8Array, now: () => number): Seals {
  return {
    async seal(kind, content, lifetimeSeconds) {
      const nowSeconds = Math.floor(now() / 1000);
      return new EncryptJWT({ content })
        .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: typeOf(kind) })
        .setAudience(audienceOf(kind))
        .setJti(crypto.randomUUID())
        .setIssuedAt(nowSeconds)
        .setExpirationTime(nowSeconds + lifetimeSeconds)
        .encrypt(key);
    },
    async open(kind, jwt) {
      try {
        const { payload } = await jwtDecrypt(jwt, key, {
          typ: typeOf(kind),
          audience: audienceOf(kind),
          requiredClaims: ['exp', 'jti'],
          keyManagementAlgorithms: ['dir'],
          contentEncryptionAlgorithms: ['A256GCM'],
          currentDate: new Date(now()),
        });
        return { ...(kinds[kind].parse(payload['content']) as Sealed<typeof kind>), id: payload.jti ?? '' };
      } catch (cause) {
        const isExpired = (cause as errors.JOSEError).code === 'ERR_JWT_EXPIRED';
        throw new WebdistError('unauthorized', `The ${kind} token is ${isExpired ? 'expired' : 'invalid'}.`, { cause });
      }
    },
  };
}

const typeOf = (kind: SealedKind) => `webdist-${kind}+jwt`;
const audienceOf = (kind: SealedKind) => `webdist:${kind}`;
