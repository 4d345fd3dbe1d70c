/**
 * The cookie that stands for a device in the ledger: a random id, signed, so that nobody can name another's. Must not
 * know what the ledger does with it.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import { parseCookie } from 'cookie';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { keyedHash } from '../service/secret.ts';

const NAME = 'webdist_device';
const LIFETIME_SECONDS = 400 * 24 * 60 * 60;
const ATTRIBUTES = `Max-Age=${LIFETIME_SECONDS}; Path=/; HttpOnly; Secure; SameSite=Lax`;

export type DeviceCookies = {
  /** The id in the request's cookie, when its signature is ours. */
  idIn(request: FastifyRequest): string | undefined;
  /** The id of the caller's device: from its cookie, or a new one. Either way the answer sets the cookie for 400 days more. */
  remember(request: FastifyRequest, reply: FastifyReply): string;
};

type Found = { readonly id: string; readonly signed: string } | undefined;

/** Cookies signed with a key: `id.signature`, both base64url, so that nothing in them needs to be encoded. */
export function openDeviceCookies(key: Buffer): DeviceCookies {
  const hash = keyedHash(key);
  const sign = (id: string) => `${id}.${hash(id, 'base64url')}`;
  const read = (request: FastifyRequest): Found => {
    const signed = request.headers.cookie && parseCookie(request.headers.cookie)[NAME];
    if (!signed) return undefined;
    const id = signed.slice(0, Math.max(0, signed.lastIndexOf('.')));
    const [given, ours] = [Buffer.from(signed), Buffer.from(sign(id))];
    return given.length === ours.length && timingSafeEqual(given, ours) ? { id, signed } : undefined;
  };
  /** What was found in a request already: the rate limits ask first, then the route. */
  const known = new WeakMap<FastifyRequest, { readonly found: Found }>();
  const find = (request: FastifyRequest): Found => {
    const before = known.get(request);
    if (before) return before.found;
    const found = read(request);
    known.set(request, { found });
    return found;
  };
  return {
    idIn: (request) => find(request)?.id,
    remember(request, reply) {
      const found = find(request);
      const id = found?.id ?? randomBytes(16).toString('base64url');
      // A good signature is sent back as it came; making it again would give the same.
      reply.header('set-cookie', `${NAME}=${found?.signed ?? sign(id)}; ${ATTRIBUTES}`);
      return id;
    },
  };
}
