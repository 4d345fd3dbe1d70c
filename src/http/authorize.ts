/**
 * Who is calling: a page of this website, a signed-in customer of it, or a server with a key. Decides who may ask for
 * tokens at all (contract §5.1).
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Config } from '../config/config.ts';
import { WebdistError } from '../errors.ts';
import type { SignIn } from './sign-in.ts';

/** A `server` holds an API key and may set claims; a `page` is anybody's browser, signed in or not. */
export type Caller = { readonly kind: 'server'; readonly name: string } | { readonly kind: 'page' };

type Callers = Config['callers'];

/**
 * The origin to which an answer may be shown: an allowed one, or one the browser itself calls the same origin or site.
 * `any` allows every origin.
 */
export function allowedOrigin(request: FastifyRequest, callers: Callers): string | undefined {
  const { origin } = request.headers;
  if (origin === undefined) return undefined;
  return callers.anonymous === 'any' || callers.allowedOrigins.includes(origin) || isSameSite(request)
    ? origin
    : undefined;
}

/** Only a browser sends `Sec-Fetch-Site`, and no page can change it. */
const isSameSite = (request: FastifyRequest) =>
  ['same-origin', 'same-site'].includes(String(request.headers['sec-fetch-site']));

const PAGE: Caller = { kind: 'page' };

/**
 * Says who calls; later, where a signed-in customer's JWT is to be verified. Throws or rejects with `unauthorized`,
 * `origin_not_allowed` or `sign_in_unavailable`.
 */
export function authorize(
  request: FastifyRequest,
  callers: Callers,
  signIn: SignIn | undefined,
): Caller | Promise<Caller> {
  const { authorization } = request.headers;
  if (authorization !== undefined) {
    const credential = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization)?.[1];
    const name = credential && serverNamed(credential, callers.apiKeys);
    if (name) return { kind: 'server', name };
    if (!credential || !signIn)
      throw new WebdistError('unauthorized', 'authorization: is not a valid credential here.');
    return signIn.verify(credential).then(() => pageOf(request, callers));
  }
  if (signIn) throw new WebdistError('unauthorized', 'authorization: a signed-in customer is required.');
  if (callers.anonymous === 'none') throw new WebdistError('unauthorized', 'authorization: a credential is required.');
  return pageOf(request, callers);
}

/** A page, when it is one that may call. Throws `unauthorized` or `origin_not_allowed`. */
function pageOf(request: FastifyRequest, callers: Callers): Caller {
  const { authorization, origin } = request.headers;
  const isPage = origin !== undefined || request.headers['sec-fetch-site'] !== undefined;
  if (callers.anonymous === 'any') return PAGE;
  if (isPage && (origin === undefined ? isSameSite(request) : allowedOrigin(request, callers))) return PAGE;
  if (isPage)
    throw new WebdistError('origin_not_allowed', 'origin: pages of this origin may not ask for install tokens.');
  if (authorization !== undefined) return PAGE;
  throw new WebdistError('unauthorized', 'authorization: a caller that is not a page needs an API key.');
}

/** Compares digests in constant time, and all of them, so that timing tells nothing about the keys. */
function serverNamed(credential: string, apiKeys: Callers['apiKeys']): string | undefined {
  const given = createHash('sha256').update(credential).digest();
  let found: string | undefined;
  for (const { name, sha256 } of apiKeys) if (timingSafeEqual(given, Buffer.from(sha256, 'hex'))) found = name;
  return found;
}
