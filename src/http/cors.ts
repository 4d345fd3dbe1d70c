/** CORS: which pages of other origins may read a response, and the answer to their preflights (Fetch Standard §3.2). */

import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config.ts';
import { allowedOrigin } from './authorize.ts';

const EXPOSED = 'RateLimit, RateLimit-Policy, Retry-After, X-Request-Id';
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-max-age': '600',
  vary: 'Origin, Access-Control-Request-Headers',
};

/** Adds CORS to a scope. Allowed pages can read every response of hooks and routes that are added later, refusals included. */
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
    const requested = request.headers['access-control-request-headers'];
    reply.headers(PREFLIGHT);
    if (requested !== undefined) reply.header('access-control-allow-headers', requested);
    reply.code(204).send();
  });
  // Reached only from origins that are not allowed; for the others the hook has answered.
  scope.options('*', { schema: { hide: true } }, (_request, reply) => reply.callNotFound());
}
