/**
 * Which pages of other origins may read an answer, and what their preflights are told (Fetch Standard §3.2). All but
 * the origin is the same for everybody, so there is nothing here to work out.
 */

import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config.ts';
import { allowedOrigin } from './authorize.ts';

const EXPOSED = 'RateLimit, RateLimit-Policy, Retry-After, X-Request-Id';
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-max-age': '600',
  vary: 'Origin, Access-Control-Request-Headers',
};

/** Adds CORS to a scope; what is added to it later is seen by allowed pages, refusals included. */
export function addCors(scope: FastifyInstance, callers: Config['callers']): void {
  scope.addHook('onRequest', (request, reply, done) => {
    reply.header('vary', 'Origin');
    const origin = allowedOrigin(request, callers);
    if (origin === undefined) return done();
    reply
      .header('access-control-allow-origin', origin)
      .header('access-control-allow-credentials', 'true')
      .header('access-control-expose-headers', EXPOSED);
    if (request.method !== 'OPTIONS') return done();
    const asked = request.headers['access-control-request-headers'];
    reply.headers(PREFLIGHT);
    if (asked !== undefined) reply.header('access-control-allow-headers', asked);
    reply.code(204).send();
  });
  // Answered by the hook, but for origins that are not allowed.
  scope.options('*', { schema: { hide: true } }, (_request, reply) => reply.callNotFound());
}
