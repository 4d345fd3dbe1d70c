/**
 * The cookie that identifies a device in the ledger. It is a random id, signed so that no page can make up the cookie
 * of another device.
 */

import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Subject, SubjectHash } from '../service/subject.ts';

const NAME = 'webdist_device';
/** Each costs a hash. */
const MOST_COOKIES = 8;
const LIFETIME_SECONDS = 400 * 24 * 60 * 60;
const ATTRIBUTES = `Max-Age=${LIFETIME_SECONDS}; Path=/; HttpOnly; Secure; SameSite=Lax`;

/** Reads and sets the cookie `webdist_device`. */
export type DeviceCookies = {
  /** Returns the device in the request's cookie; undefined without a cookie, and for one that webdist did not sign. */
  deviceIn(request: FastifyRequest): Subject | undefined;
  /**
   * Returns the device in the request's cookie, or a new one. In both cases, the response sets the cookie for another
   * 400 days.
   */
  remember(request: FastifyRequest, reply: FastifyReply): { readonly device: Subject; readonly isNew: boolean };
};

/** The device of a valid cookie, and the cookie itself; null if there is none. */
type Found = { readonly device: Subject; readonly signed: string } | null;

/**
 * The cookies of the requests of a scope. A cookie is `id.signature`, both base64url, which needs no encoding (RFC 6265
 * §4.1.1). `isHostOnly` gives it the prefix `__Host-`, so that browsers accept it only from this very host.
 */
export function openDeviceCookies(
  scope: FastifyInstance,
  hash: (subject: Subject) => SubjectHash,
  isHostOnly: boolean,
): DeviceCookies {
  const name = isHostOnly ? `__Host-${NAME}` : NAME;
  const start = `${name}=`;
  const signed = (device: Subject) => `${device.id}.${hash(device).signature}`;
  const read = (request: FastifyRequest): Found => {
    const { cookie } = request.headers;
    if (cookie === undefined) return null;
    // A sibling host can set a cookie of the same name, so the first signed one counts.
    const cookies = cookie.split(';').map((one) => one.trim());
    for (const named of cookies.filter((one) => one.startsWith(start)).slice(0, MOST_COOKIES)) {
      const value = named.slice(start.length);
      const device = { kind: 'device', id: value.slice(0, Math.max(0, value.lastIndexOf('.'))) } as const;
      const [given, ours] = [Buffer.from(value), Buffer.from(signed(device))];
      if (given.length === ours.length && timingSafeEqual(given, ours)) return { device, signed: value };
    }
    return null;
  };
  // The cookie is read once per request, although both the rate limits and the route need the device.
  scope.decorateRequest('device', undefined);
  const find = (request: FastifyRequest): Found => {
    const known = request.getDecorator<Found | undefined>('device');
    if (known !== undefined) return known;
    const found = read(request);
    request.setDecorator('device', found);
    return found;
  };
  return {
    deviceIn: (request) => find(request)?.device,
    remember(request, reply) {
      const found = find(request);
      const device = found?.device ?? { kind: 'device', id: randomBytes(16).toString('base64url') };
      reply.header('set-cookie', `${name}=${found?.signed ?? signed(device)}; ${ATTRIBUTES}`);
      return { device, isNew: found === null };
    },
  };
}
