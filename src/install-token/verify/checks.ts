/** The types of a check of an install verification token, of its result, and of the facts it compares with. */

import type { KeyObject } from 'node:crypto';

/**
 * The result of a check. `fail`: a device refuses the token. `cause` is the likely mistake, for the person who has to
 * fix it.
 */
export type TokenCheck = {
  readonly name: string;
  readonly result: 'ok' | 'warn' | 'fail' | 'info';
  readonly detail: string;
  readonly cause?: string | undefined;
};

/**
 * A public half that may verify a token. `source` says in words where it is from. `keyId` is absent if the id is
 * unknown.
 */
export type KnownKey = { readonly keyId?: string | undefined; readonly publicKey: KeyObject; readonly source: string };

/** The facts that a token is compared with. */
export type Known = {
  readonly keys: readonly KnownKey[];
  readonly apps: readonly { readonly appleItemId: string; readonly bundleId: string }[];
  /** The App Store Connect API key, to recognise when it was used by mistake. */
  readonly apiKey?: { readonly keyId: string; readonly publicKey?: KeyObject | undefined } | undefined;
  /** Seconds since 1970. */
  readonly nowSeconds: number;
};

export type JsonObject = Readonly<Record<string, unknown>>;

export const ok = (name: string, detail: string): TokenCheck => ({ name, result: 'ok', detail });
export const warn = (name: string, detail: string, cause?: string): TokenCheck => ({
  name,
  result: 'warn',
  detail,
  cause,
});
export const fail = (name: string, detail: string, cause?: string): TokenCheck => ({
  name,
  result: 'fail',
  detail,
  cause,
});

/** Formats a value from a token for a `detail`, shortened; returns `missing` if it is absent. */
export const quoted = (value: unknown): string =>
  value === undefined ? 'missing' : JSON.stringify(value).slice(0, 200);
