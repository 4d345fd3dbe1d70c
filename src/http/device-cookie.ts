/**
 * The cookie that stands for a device in the ledger: a random id, signed, so that nobody can name another's. Must not
 * know what the ledger does with it.
 */

import { randomBytes } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';

const NAME = 'webdist_device';
const LIFETIME_SECONDS = 400 * 24 * 60 * 60;

/** What was found in a request already: the rate limits ask first, then the route. */
const found = new WeakMap<FastifyRequest, { readonly id: string | undefined }>();

/** The id in the request's cookie, when its signature is ours. */
export function deviceOf(request: FastifyRequest): string | undefined {
  const known = found.get(request);
  if (known) return known.id;
  const cookie = request.cookies[NAME];
  const unsigned = cookie === undefined ? undefined : request.unsignCookie(cookie);
  const id = unsigned?.valid ? unsigned.value : undefined;
  found.set(request, { id });
  return id;
}

/** The id of the caller's device: from its cookie, or a new one. Either way the answer sets the cookie for 400 days more. */
export function rememberDevice(request: FastifyRequest, reply: FastifyReply): string {
  const known = deviceOf(request);
  const id = known ?? randomBytes(16).toString('base64url');
  // A good signature is sent back as it came; making it again would give the same.
  const cookie = known === undefined ? reply.signCookie(id) : (request.cookies[NAME] ?? '');
  reply.setCookie(NAME, cookie, {
    httpOnly: true,
    secure: true,
    sameSite: 'lax',
    path: '/',
    maxAge: LIFETIME_SECONDS,
  });
  return id;
}
