/**
 * What webdist hands out and takes back in the OAuth of its device's side: encrypted JWTs (RFC 7519, RFC 7516; direct
 * encryption with A256GCM), each good for one purpose. Nothing is stored, and nobody can read the subject in them. Must
 * not know the protocol.
 */

import { EncryptJWT, type errors, jwtDecrypt } from 'jose';
import { z } from 'zod';
import { WebdistError } from '../errors.ts';

/** What stands for a device or a customer in the ledger. */
const subject = z.strictObject({ kind: z.enum(['device', 'caller']), id: z.string() });

/** The install a link was made for: a restore within the life of the link's token belongs to it and shares its `dtype`. */
const linkedInstall = z.strictObject({
  appleItemId: z.string(),
  dtype: z.enum(['download', 'redownload']),
  untilSeconds: z.int(),
});

const grant = z.object({ subject: subject.optional(), install: linkedInstall.optional() });

/** Each kind with its content. `typ` and `aud` bind a token to its kind (RFC 8725 §3.11). */
const kinds = {
  /** The link's `token`, exchanged once the OS has it. */
  link: grant,
  access: grant,
  refresh: grant,
  /** What the login page carries from the authorization endpoint back. */
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
/** What a token stands for: who, and which install. */
export type Grant = z.output<typeof grant>;

export interface Seals {
  /** Gives a compact JWE that ends after `lifetimeSeconds`. */
  seal<K extends SealedKind>(kind: K, content: Sealed<K>, lifetimeSeconds: number): Promise<string>;
  /** Gives what was sealed, and the id of the token. Throws `unauthorized` when it is not one of this kind, or ended. */
  open<K extends SealedKind>(kind: K, jwt: string): Promise<Sealed<K> & { readonly id: string }>;
}

/** Takes a 32-byte key of its own and a clock in milliseconds since 1970. */
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
        const ended = (cause as errors.JOSEError).code === 'ERR_JWT_EXPIRED';
        throw new WebdistError('unauthorized', `The ${kind} token ${ended ? 'has ended' : 'is not valid'}.`, { cause });
      }
    },
  };
}

const typeOf = (kind: SealedKind) => `webdist-${kind}+jwt`;
const audienceOf = (kind: SealedKind) => `webdist:${kind}`;
