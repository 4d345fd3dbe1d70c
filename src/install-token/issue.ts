/** Issues a token: finds the key, decides `dtype`, makes the claims and signs them. Every token is issued here. */

import { WebdistError } from '../errors.ts';
import { type Signer, type SigningKey, signCompact } from '../jws.ts';
import type { ShownInstall } from '../ledger/contract.ts';
import type { Dtype, EvidenceKind } from '../ledger/rule.ts';
import { claimsFor, type KnownClaims } from './claims.ts';
import type { Nonces } from './nonce.ts';
import { IAT_MARGIN_SECONDS } from './times.ts';

/** One request to install one app. */
export type Install = KnownClaims & {
  /** The tag of the subject. Without one, the ledger is not used. */
  readonly subject?: number | undefined;
  /** The subject was generated for this request, so the ledger cannot have it. */
  readonly isNewSubject?: boolean | undefined;
  /** Sent by an authenticated caller; otherwise the ledger decides. */
  readonly dtype?: Dtype | undefined;
  /** The kind of evidence that the request itself is. Default: `issue`, because it makes webdist issue a token. */
  readonly evidence?: EvidenceKind | undefined;
};

/** One token about to be issued. */
export type Entry = Install & { readonly issuedAtSeconds: number };

/** The decision about one token. */
export type Decision = {
  readonly dtype: Dtype;
  /** Issuing this token is the first evidence of an install. It counts as soon as the token is signed. */
  readonly isNewInstall: boolean;
};

/**
 * An install verification token, and the values in it. Times in seconds since 1970; `iat` is a little before
 * `issuedAtSeconds`.
 */
export type Issued = {
  readonly installToken: string;
  readonly dtype: Dtype;
  readonly keyId: string;
  readonly nonce: string;
  readonly issuedAtSeconds: number;
  readonly expiresAtSeconds: number;
};

type IssueKey = SigningKey<Pick<Signer, 'backend' | 'sign'>>;

/** What `issue` works with. */
export type IssueDeps = {
  /** Returns the key that currently signs for an app, at once if possible. Throws `not_registered`. */
  keyFor(app: Install['app']): IssueKey | Promise<IssueKey>;
  /** Throws `ledger_unavailable`. */
  decide(entry: Entry): Promise<Decision>;
  /** Adds an install to the ledger. Throws `ledger_unavailable`. */
  addIssued(install: ShownInstall): Promise<void>;
  readonly nonce: Nonces['seal'];
  /** Milliseconds since 1970. Throws `clock_off`. */
  now(): number;
  readonly lifetimeSeconds: number;
};

/** Issues one token. Throws `not_registered`, `clock_off`, `ledger_unavailable` or `signer_unavailable`. */
export async function issue(install: Install, deps: IssueDeps): Promise<Issued> {
  const { app, subject } = install;
  const key = await deps.keyFor(app);
  const issuedAtSeconds = Math.floor(deps.now() / 1000);
  const { dtype, isNewInstall } = await deps.decide({ ...install, issuedAtSeconds });
  const nonce = deps.nonce({ appleItemId: app.appleItemId, subject, issuedAtSeconds });
  const { lifetimeSeconds } = deps;
  const claims = claimsFor({
    ...install,
    dtype,
    issuedAtSeconds: issuedAtSeconds - IAT_MARGIN_SECONDS,
    lifetimeSeconds,
    nonce,
  });
  const installToken = await signCompact(key, claims);
  // Signing can take a while, and the key may have been replaced meanwhile.
  if ((await deps.keyFor(app)).keyId !== key.keyId)
    throw new WebdistError('not_registered', 'The distribution key was replaced just now.', { retryAfterSeconds: 1 });
  // Stored only after signing, because a token that could not be signed is not evidence.
  if (isNewInstall && subject !== undefined)
    await deps.addIssued({ subject, appleItemId: app.appleItemId, installedAtSeconds: issuedAtSeconds });
  return {
    installToken,
    dtype,
    keyId: key.keyId,
    nonce,
    issuedAtSeconds,
    expiresAtSeconds: claims.exp,
  };
}
