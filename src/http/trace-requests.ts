/**
 * Records a span for each request, by OpenTelemetry's semantic conventions for HTTP servers. It omits everything that a
 * caller chooses freely or that concerns a person: paths without a route, queries, addresses, user agents.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Grant } from '../oauth/sealed.ts';
import { type Span, span, type Tracing, within } from '../tracing/tracing.ts';
import type { Caller } from './authorize.ts';

const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY']);

/** Monitoring requests these paths every few seconds. */
const UNTRACED = new Set([
  '/health/live',
  '/health/ready',
  '/health/startup',
  '/livez',
  '/readyz',
  '/startupz',
  '/metrics',
]);

/** Traces every request except those for health and metrics. */
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
  // Node reads the body outside of the asynchronous context that the hook above started.
  app.addHook('preValidation', (request, _reply, done) => {
    const span = spanOf(request);
    if (span) within(span, done);
    else done();
  });
  app.addHook('onResponse', (request, { statusCode }, done) => {
    const span = spanOf(request);
    span?.set({ 'http.response.status_code': statusCode });
    // problems.ts has already set `error.type` to the problem's code.
    if (statusCode >= 500) span?.fail();
    span?.end();
    done();
  });
}

/** Runs the authorization of a page or a server in a span, whose `webdist.caller` is the kind of credential. */
export const authorizeSpan = (request: FastifyRequest, work: () => Promise<Caller>): Promise<Caller> =>
  span('authorize', work, (caller) => {
    const page = request.headers.authorization === undefined ? 'anonymous' : 'jwt';
    return caller && { 'webdist.caller': caller.kind === 'server' ? 'api_key' : page };
  });

/** The same for a device. */
export const grantSpan = (work: () => Promise<Grant>): Promise<Grant> =>
  span('authorize', work, (grant) => grant && { 'webdist.caller': grant.subject ? 'access_token' : 'anonymous' });
