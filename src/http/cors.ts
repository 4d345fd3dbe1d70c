/**
 * CORS: decides which pages of other origins may read a response, and answers their preflights (Fetch Standard §3.2).
 */

import type { IncomingHttpHeaders } from 'node:http';
import type { FastifyInstance } from 'fastify';
import type { Config } from '../config/config.ts';
import { allowedOrigin } from './authorize.ts';

const EXPOSED = 'RateLimit, RateLimit-Policy, Retry-After, X-Request-Id';
const PREFLIGHT = {
  'access-control-allow-methods': 'GET, POST',
  'access-control-max-age': '600',
  vary: 'Origin, Access-Control-Request-Headers',
};

type Request = { readonly headers: IncomingHttpHeaders };

/** Returns the headers that let the page that sent a request read the response. Other callers get only `Vary`. */
export function corsHeaders(request: Request, callers: Config['callers']): Readonly<Record<string, string>> {
  const origin = allowedOrigin(request, callers);
  if (origin === undefined) return { vary: 'Origin' };
  return {
    vary: 'Origin',
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    'access-control-expose-headers': EXPOSED,
  };
}

/**
 * Adds CORS to a scope. Allowed pages can read every response, including refusals, of hooks and routes that are added
 * after this call.
 */
export function addCors(scope: FastifyInstance, callers: Config['callers']): void {
  scope.addHook('onRequest', (request, reply, done) => {
    const headers = corsHeaders(request, callers);
    reply.headers(headers);
    if (request.method !== 'OPTIONS' || !('access-control-allow-origin' in headers)) return done();
    const requested = request.headers['access-control-request-headers'];
    reply.headers(PREFLIGHT);
    if (requested !== undefined) reply.header('access-control-allow-headers', requested);
    reply.code(204).send();
  });
  // Reached only from origins that are not allowed. For allowed origins, the hook has already answered.
  scope.options('*', { schema: { hide: true } }, (_request, reply) => reply.callNotFound());
}
