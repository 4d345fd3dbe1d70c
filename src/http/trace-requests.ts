/**
 * A span for each request, by OpenTelemetry's semantic conventions for HTTP servers. Leaves out what callers choose
 * freely or what is about a person: paths that no route has, queries, addresses, user agents.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Grant } from '../oauth/sealed.ts';
import { type Span, span, type Tracing, within } from '../tracing/tracing.ts';
import type { Caller } from './authorize.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY']);

/** Asked every few seconds, by machines. */
const UNTRACED = new Set(['/health/live', '/health/ready', '/livez', '/readyz', '/metrics']);

/** Traces every request but those for health and metrics. */
export function traceRequests(app: FastifyInstance, tracing: Tracing): void {
  app.decorateRequest('span', null);
  const spanOf = (request: FastifyRequest) => request.getDecorator<Span | null>('span');

  app.addHook('onRequest', (request, _reply, done) => {
    const { method: given, protocol, headers, routeOptions, url } = request;
    const route = routeOptions.url;
    if (route && UNTRACED.has(route)) return done();
    const method = METHODS.has(given) ? given : '_OTHER';
    const path = url.split('?', 1)[0];
    const span = tracing.start([method === '_OTHER' ? 'HTTP' : method, route].filter(Boolean).join(' '), {
      kind: 'server',
      headers,
      attributes: {
        'http.request.method': method,
        'url.scheme': protocol,
        ...(route && { 'http.route': route }),
        ...(route && path === route && { 'url.path': path }),
      },
    });
    request.setDecorator('span', span);
    within(span, done);
  });
  // Node reads a body outside of what the hook above began.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spanOf(request);
    if (span) within(span, done);
    else done();
  });
  app.addHook('onResponse', (request, { statusCode }, done) => {
    const span = spanOf(request);
    span?.set({ 'http.response.status_code': statusCode });
    // Its `error.type` is the problem's code.
    if (statusCode >= 500) span?.fail();
    span?.end();
    done();
  });
}

/** Authorization of a page or a server as a span that tells with what the caller came. */
export const authorizeSpan = (
  request: FastifyRequest,
  work: () => Caller | Promise<Caller>,
): Caller | Promise<Caller> =>
  span('authorize', work, (caller) => {
    const page = request.headers.authorization === undefined ? 'anonymous' : 'jwt';
    return caller && { 'webdist.caller': caller.kind === 'server' ? 'api_key' : page };
  });

/** The same of a device. */
export const grantSpan = (work: () => Promise<Grant>): Promise<Grant> =>
  span('authorize', work, (grant) => grant && { 'webdist.caller': grant.subject ? 'access_token' : 'anonymous' });
