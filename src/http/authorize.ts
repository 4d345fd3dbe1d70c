/**
 * Identifies the caller: a page of this website, one of its signed-in customers, or a server with an API key
 * (docs/http-api.md, "Callers").
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { ApiKey } from '../config/api-keys.ts';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import type { SignIn } from './sign-in.ts';

/** A `server` has an API key and may set claims. A `page` is a visitor's browser, signed in or not. */
export type Caller = ServerCaller | { readonly kind: 'page' };
export type ServerCaller = { readonly kind: 'server'; readonly key: ApiKey };

/** The caller with the fewest rights. */
export const PAGE: Caller = { kind: 'page' };

type Callers = Config['callers'];

/**
 * Returns the origin whose pages may read the response, or undefined if they may not. Allowed are the configured
 * origins, and requests that the browser marks as same-origin or same-site. With `WEBDIST_ANONYMOUS=any`, every origin
 * is allowed.
 */
export function allowedOrigin(request: Pick<FastifyRequest, 'headers'>, callers: Callers): string | undefined {
  const { origin } = request.headers;
  if (origin === undefined) return undefined;
  return callers.anonymous === 'any' || callers.allowedOrigins.includes(origin) || isSameSite(request)
    ? origin
    : undefined;
}

/** Browsers send `Sec-Fetch-Site`, and no page can change it (Fetch Metadata Request Headers §2.4). */
const isSameSite = (request: Pick<FastifyRequest, 'headers'>) =>
  ['same-origin', 'same-site'].includes(String(request.headers['sec-fetch-site']));

/** Returns the bearer token of the request (RFC 6750 §2.1); undefined if its `Authorization` has none. */
export const bearerIn = ({ headers }: FastifyRequest): string | undefined =>
  /^Bearer +([\x21-\x7e]+)$/i.exec(headers.authorization ?? '')?.[1];

/** Returns the server whose API key is in the request; undefined for any other caller. */
export function serverIn(request: FastifyRequest, apiKeys: readonly ApiKey[], nowMs: number): ServerCaller | undefined {
  if (request.headers.authorization === undefined) return undefined;
  const credential = bearerIn(request);
  const key = credential && keyOf(credential, apiKeys);
  return key && (key.expiresAtMs === undefined || nowMs < key.expiresAtMs) ? { kind: 'server', key } : undefined;
}

/** Identifies a caller that is not a server. Throws `unauthorized`, `origin_not_allowed` or `sign_in_unavailable`. */
export async function authorize(
  request: FastifyRequest,
  callers: Callers,
  signIn: SignIn | undefined,
): Promise<Caller> {
  if (request.headers.authorization !== undefined) {
    const credential = bearerIn(request);
    if (!credential || !signIn)
      throw new WebdistError('unauthorized', 'authorization: is not a valid credential here.');
    await signIn.verify(credential);
    return pageOf(request, callers);
  }
  if (signIn) throw new WebdistError('unauthorized', 'authorization: a signed-in customer is required.');
  if (callers.anonymous === 'none') throw new WebdistError('unauthorized', 'authorization: a credential is required.');
  return pageOf(request, callers);
}

/** Throws `unauthorized` or `origin_not_allowed` unless the request is from a page that may call. */
function pageOf(request: FastifyRequest, callers: Callers): Caller {
  const { authorization, origin } = request.headers;
  const isPage = origin !== undefined || request.headers['sec-fetch-site'] !== undefined;
  if (callers.anonymous === 'any') return PAGE;
  if (isPage && (origin === undefined ? isSameSite(request) : allowedOrigin(request, callers))) return PAGE;
  if (isPage)
    throw new WebdistError('origin_not_allowed', 'origin: pages of this origin may not request install tokens.');
  if (authorization !== undefined) return PAGE;
  throw new WebdistError('unauthorized', 'authorization: a caller that is not a page needs an API key.');
}

/**
 * Makes a scope refuse every caller that is not a server, with 401 and before its body is read. Returns the function that
 * returns the server.
 */
export function onlyServers(
  scope: FastifyInstance,
  callerOf: (request: FastifyRequest) => Caller,
): (request: FastifyRequest) => ServerCaller {
  const serverOf = (request: FastifyRequest): ServerCaller => {
    const caller = callerOf(request);
    if (caller.kind === 'server') return caller;
    throw new WebdistError('unauthorized', 'authorization: an API key is required.');
  };
  scope.addHook('onRequest', async (request) => void serverOf(request));
  return serverOf;
}

/** Compares with every digest, each in constant time, so that timing reveals nothing about the keys. */
function keyOf(credential: string, apiKeys: readonly ApiKey[]): ApiKey | undefined {
  const given = createHash('sha256').update(credential).digest();
  let found: ApiKey | undefined;
  for (const key of apiKeys) if (timingSafeEqual(given, Buffer.from(key.sha256, 'hex'))) found = key;
  return found;
}

/** Throws `forbidden` unless the API key may be used for the app. */
export function refuseForeignApp({ apps }: ApiKey, app: { readonly bundleId: string; readonly appleItemId: string }) {
  if (apps && !apps.includes(app.bundleId) && !apps.includes(app.appleItemId))
    throw new WebdistError('forbidden', 'app: this API key is for other apps.');
}
