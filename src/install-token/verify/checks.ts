/**
 * The checks of an install verification token by name, the type of their results, and the facts they compare with. The
 * simulated device and `webdist token verify` run the same checks.
 */

import type { KeyObject } from 'node:crypto';
import { claimLines } from '../claims.ts';

/** Every check of a token, with its line in the rejection checklist (docs/apple-facts.md §10). */
const checkLines = {
  shape: 8,
  app: 7,
  alg: 9,
  typ: 9,
  header: 9,
  kid: 10,
  signature: 11,
  ...claimLines,
  lifetime: 18,
  'iid and vid': 24,
  'other claims': 26,
} as const;
export type CheckName = keyof typeof checkLines;

/**
 * The result of a check. `fail`: a device refuses the token. `cause` is the likely mistake, for the person who has to
 * fix it.
 */
export type TokenCheck = {
  readonly name: CheckName;
  /** In the rejection checklist. */
  readonly line: number;
  readonly result: 'ok' | 'warn' | 'fail' | 'info';
  readonly detail: string;
  readonly cause?: string | undefined;
};

/**
 * A public half that may verify a token. `source` says in words where it is from. `keyId` is absent if the id is
 * unknown.
 */
export type KnownKey = {
  readonly keyId?: string | undefined;
  readonly publicKey: KeyObject;
  readonly source: string;
  /** The AppleItemIDs of the apps that the key is registered for, or `all` for the whole account; absent if unknown. */
  readonly apps?: 'all' | readonly string[] | undefined;
};

/** An app, with the AppleVersionIDs in the manifests of its packages; absent if no manifest is known. */
export type KnownApp = {
  readonly appleItemId: string;
  readonly bundleId: string;
  readonly appleVersionIds?: readonly string[] | undefined;
};

/** The facts that a token is compared with. */
export type Known = {
  readonly keys: readonly KnownKey[];
  readonly apps: readonly KnownApp[];
  /** The app of the package that the link names. */
  readonly linked?: KnownApp | undefined;
  /** Whether the device has seen a nonce under the key with this id. */
  readonly isUsed?: ((kid: unknown, nonce: string) => boolean) | undefined;
  /** The App Store Connect API key, to recognise when it was used by mistake. */
  readonly apiKey?: { readonly keyId: string; readonly publicKey?: KeyObject | undefined } | undefined;
  /** Seconds since 1970. */
  readonly nowSeconds: number;
};

export type JsonObject = Readonly<Record<string, unknown>>;

/** Returns the app that a token names by `bid`, else by `iss`. If there is a link, that is the app of the link. */
export function appOf({ iss, bid }: JsonObject, { apps, linked }: Known): KnownApp | undefined {
  const named = apps.find(({ bundleId }) => bundleId === bid) ?? apps.find(({ appleItemId }) => appleItemId === iss);
  return named && (linked ?? named);
}

export const ok = (name: CheckName, detail: string): TokenCheck => ({
  name,
  line: checkLines[name],
  result: 'ok',
  detail,
});
export const warn = (name: CheckName, detail: string, cause?: string): TokenCheck => ({
  ...ok(name, detail),
  result: 'warn',
  cause,
});
/** `line` is the violated line of the checklist, for a check that covers several. */
export const fail = (name: CheckName, detail: string, cause?: string, line: number = checkLines[name]): TokenCheck => ({
  ...ok(name, detail),
  line,
  result: 'fail',
  cause,
});

/** Formats a value from a token for a `detail`, shortened; returns `missing` if it is absent. */
export const quoted = (value: unknown): string =>
  value === undefined ? 'missing' : JSON.stringify(value).slice(0, 200);
