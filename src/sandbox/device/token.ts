/**
 * Parses an install verification token as a device would (docs/apple-facts.md §1; RFC 7515 §3.1), and looks up its key and
 * its app in the account.
 */

import type { AccountApp, DistributionKey, Package, SandboxState } from '../state.ts';

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;
type Jws = { readonly header: Json; readonly payload: Json; readonly signature: Buffer; readonly signingInput: string };

/** A parsed token, with what the account knows about it. */
export type ExaminedToken = {
  /** Undefined if it is not a compact JWS; `problem` then gives the reason. */
  readonly jws: Jws | undefined;
  readonly problem: string;
  /** The package that the link names; undefined without a link. */
  readonly linked: Package | undefined;
  readonly isFromLink: boolean;
  /** The registered key that `kid` names. */
  readonly key: DistributionKey | undefined;
  /** The app of this account that would be installed: by the link's package, else by `bid`, else by `iss`. */
  readonly app: AccountApp | undefined;
  readonly state: SandboxState;
  readonly nowSeconds: number;
};

/** Parses a token. Never throws; what cannot be read is undefined. `link`: null without a link. */
export function examineToken(
  token: string,
  link: { readonly linked: Package | undefined } | null,
  state: SandboxState,
  nowSeconds: number,
): ExaminedToken {
  const jws = readJws(token);
  const base = { linked: link?.linked, isFromLink: link !== null, state, nowSeconds };
  if (typeof jws === 'string') return { ...base, jws: undefined, problem: jws, key: undefined, app: undefined };
  const { iss, bid } = jws.payload;
  const named = state.apps.find(({ bundleId }) => bundleId === bid) ?? state.apps.find(({ id }) => id === iss);
  const app = named && link?.linked ? state.apps.find(({ id }) => id === link.linked?.appleItemId) : named;
  return { ...base, jws, problem: '', key: state.keys.find(({ id }) => id === jws.header['kid']), app };
}

function readJws(token: string): Jws | string {
  const parts = token.split('.');
  const [header = '', payload = '', signature = ''] = parts;
  if (parts.length !== 3) return `it has ${parts.length} parts, not three`;
  for (const [name, part] of Object.entries({ header, payload, signature })) {
    if (part === '') return `the ${name} is empty`;
    if (/^[\w+/-]+=+$/.test(part)) return `the ${name} is padded with '='; base64url in a JWS has no padding`;
    if (/[+/]/.test(part)) return `the ${name} is in base64 with '+' or '/', not in base64url`;
    if (!/^[\w-]+$/.test(part) || part.length % 4 === 1) return `the ${name} is not base64url`;
  }
  const [headerJson, payloadJson] = [readJson(header), readJson(payload)];
  if (!headerJson || !payloadJson) return `the ${headerJson ? 'payload' : 'header'} is not a JSON object in UTF-8`;
  return {
    header: headerJson,
    payload: payloadJson,
    signature: Buffer.from(signature, 'base64url'),
    signingInput: `${header}.${payload}`,
  };
}

function readJson(part: string): Json | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(part, 'base64url')));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : undefined;
  } catch {
    return undefined; // the check `jws-shape` reports it
  }
}

/** A UUID in any case. */
const isUuid = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value);

/** The form in which a nonce is stored, separately for each key; undefined if it is not a UUID. */
export function nonceRecord({ jws }: ExaminedToken): string | undefined {
  const nonce = jws?.payload['nonce'];
  return jws && isUuid(nonce) ? `${jws.header['kid']} ${nonce.toUpperCase()}` : undefined;
}
