/** Calls the simulated App Store Connect directly: JWTs with any content, requests with and without a credential. */

import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';

export const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
export const pemOf = (key: KeyObject) => key.export({ format: 'pem', type: 'spki' }) as string;
const teamKeyOf = ({ settings }: Sandbox) =>
  createPrivateKey(Buffer.from(settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString());

/** A compact JWS with any header and payload, always signed with ES256. */
export function jws(header: object, payload: object, key: KeyObject): string {
  const part = (content: object) => Buffer.from(JSON.stringify(content)).toString('base64url');
  const signingInput = `${part(header)}.${part(payload)}`;
  const signature = sign('sha256', Buffer.from(signingInput), { key, dsaEncoding: 'ieee-p1363' });
  return `${signingInput}.${signature.toString('base64url')}`;
}

export type Changes = { readonly header?: object; readonly claims?: object; readonly key?: KeyObject };

/**
 * A valid bearer JWT of the team key, except for the changes; undefined members are left out. `iat` is a minute ago, because
 * some tests stop the sandbox's clock at their start.
 */
export function apiToken(sandbox: Sandbox, { header, claims, key }: Changes = {}, now = Date.now()): string {
  const iat = Math.floor(now / 1000) - 60;
  return jws(
    { alg: 'ES256', kid: sandbox.settings['ASC_KEY_ID'], typ: 'JWT', ...header },
    { iss: sandbox.settings['ASC_ISSUER_ID'], iat, exp: iat + 600, aud: 'appstoreconnect-v1', ...claims },
    key ?? teamKeyOf(sandbox),
  );
}

type Resource = {
  type: string;
  id: string;
  attributes: Record<string, string>;
  links: { self: string };
};
export type Body = {
  data: Resource & Resource[];
  links: { self: string; first?: string; next?: string };
  meta: { paging: { total: number; limit: number; nextCursor?: string } };
  errors: { id: string; status: string; code: string; title: string; detail: string; source?: object }[];
};

/** Sends one request with the team key; returns status, headers and the parsed body. */
export async function call(sandbox: Sandbox, method: string, path: string, body?: unknown, headers: object = {}) {
  const url = path.startsWith('http') ? path : sandbox.baseUrl + path;
  const answer = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${apiToken(sandbox)}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get('content-type')?.startsWith('application/') && text !== '';
  return { status: answer.status, headers: answer.headers, text, body: (isJson ? JSON.parse(text) : {}) as Body };
}

/** Status and code of the first error, as `409 ENTITY_ERROR…`, or the bare status. */
export const outcome = ({ status, body }: { status: number; body: Body }) =>
  [status, body.errors?.[0]?.code].filter(Boolean).join(' ');

/** Sends one request to the sandbox's own paths. */
export async function control(
  sandbox: Sandbox,
  method: string,
  path: string,
  body?: unknown,
  contentType = 'application/json',
) {
  const answer = await fetch(`${sandbox.baseUrl}/_sandbox/${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': contentType },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
}

/** The request body that adds a key; for tests of refusals, the value need not be a PEM. */
export const keyEntity = (publicKey: unknown, appId?: string) => ({
  data: {
    type: 'alternativeDistributionKeys',
    attributes: { publicKey },
    ...(appId && { relationships: { app: { data: { type: 'apps', id: appId } } } }),
  },
});
/** The request body that adds a domain. */
export const domainEntity = (domain: unknown, referenceName: unknown = 'web') => ({
  data: { type: 'alternativeDistributionDomains', attributes: { domain, referenceName } },
});

export const APP = '6500000001';
export const KEYS = '/v1/alternativeDistributionKeys';
export const DOMAINS = '/v1/alternativeDistributionDomains';
export const APP_KEY = `/v1/apps/${APP}/alternativeDistributionKey`;

/** Registers a public key, by default a new one for the app; returns the resource. */
export async function addKey(sandbox: Sandbox, publicKey = newKey().publicKey, appId: string | undefined = APP) {
  return (await call(sandbox, 'POST', KEYS, keyEntity(pemOf(publicKey), appId))).body.data;
}
