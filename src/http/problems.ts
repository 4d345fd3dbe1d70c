/** Answers every error with RFC 9457 problem details: a stable code and the request's id (docs/http-api.md, "Errors"). */

import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type ErrorCode, isWebdistError, WebdistError } from '../errors.ts';
import { permittedText } from '../oauth/refusal.ts';
import { annotate } from '../tracing/tracing.ts';
import { visible } from '../visible.ts';

/** The body of every error (RFC 9457 §3.1, with the extension members `code` and `requestId`). */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What is wrong with this request; names the field'),
    code: z.string().describe('The same for every problem of this kind'),
    requestId: z.string().describe('Absent if the request was refused before it got an id').optional(),
    error: z.string().describe('Only for `/oauth/…`: the code of RFC 6749').optional(),
    error_description: z.string().describe('Only for `/oauth/…`: the same as `detail`').optional(),
  })
  .meta({ id: 'Problem', description: 'Problem details (RFC 9457)' });

/** The codes of everything that can prevent a token. */
export const ISSUE_PROBLEMS: readonly ErrorCode[] = [
  'not_registered',
  'different_key_registered',
  'registration_missing',
  'rotation_unfinished',
  'version_held',
  'signer_unavailable',
  'clock_off',
  'ledger_unavailable',
];

/**
 * Converts an error to problem details. `detail` is written for callers; causes are only logged. `type` is the URL of the
 * page that explains the code: `problemsUrl` and the code.
 */
export function problemOf(error: WebdistError, requestId: string, problemsUrl: string): z.output<typeof problemSchema> {
  const { code, title, status, detail } = error;
  return { type: problemsUrl + code, title, status, detail, code, requestId };
}

/** Makes an instance answer every error, unknown path and wrong method with a problem. */
export function answerProblems(app: FastifyInstance, problemsUrl: string): void {
  const sendProblem = problemSender(problemsUrl);
  app.setErrorHandler((error: FastifyError, request, reply) =>
    sendProblem(asWebdistError(error, request), request, reply),
  );
  const methodsOf = collectMethods(app);
  const answerNotFound = (request: FastifyRequest, reply: FastifyReply) => {
    const allowed = methodsOf(request);
    if (allowed.length > 0) reply.header('allow', allowed.join(', '));
    return sendProblem(notFound(allowed), request, reply);
  };
  // Set here and not in the handler, which Fastify calls only after it has read the body.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.is404) answerNotFound(request, reply);
    else done(isPercentEncoded(request.url) ? undefined : new WebdistError('invalid_request', BAD_URL));
  });
  // For routes that find nothing themselves.
  app.setNotFoundHandler(answerNotFound);
}

/** Collects the routes that are added after this call. Returns the methods that the path of a request accepts. */
function collectMethods(app: FastifyInstance): (request: FastifyRequest) => string[] {
  const routes: { readonly path: RegExp; readonly method: string }[] = [];
  app.addHook('onRoute', ({ url, method }) => {
    const path = new RegExp(`^${url.replace(/[.*]/g, '\\$&').replace(/:\w+/g, '[^/]+')}$`);
    for (const one of [method].flat()) if (one !== 'HEAD' && one !== 'OPTIONS') routes.push({ path, method: one });
  });
  return ({ url }) => {
    const path = url.split('?', 1)[0] ?? '';
    return routes
      .filter((route) => route.path.test(path))
      .map(({ method }) => method)
      .toSorted();
  };
}

const BAD_URL = 'url: is not validly percent-encoded.';

/** Whether every escape in the URL is complete, and they are UTF-8. Fastify refuses only paths of which this is not true. */
function isPercentEncoded(url: string): boolean {
  if (!url.includes('%')) return true;
  try {
    decodeURIComponent(url);
    return true;
  } catch {
    return false;
  }
}

const notFound = (allowed: readonly string[]): WebdistError =>
  allowed.length === 0
    ? new WebdistError('not_found', 'There is no such path.')
    : new WebdistError('method_not_allowed', `This path accepts ${allowed.join(' and ')}.`);

/** Answers errors that occur before a route is found (Fastify's `frameworkErrors`). */
export const frameworkErrorAnswer =
  (problemsUrl: string) => (error: FastifyError, request: FastifyRequest, reply: FastifyReply) =>
    problemSender(problemsUrl)(asWebdistError(error, request), request, reply);

const problemSender = (problemsUrl: string) => (error: WebdistError, request: FastifyRequest, reply: FastifyReply) => {
  if (error.status >= 500) annotate({ 'error.type': error.code });
  // Overload is logged once and counted, because a line per refusal would add load.
  if (error.status >= 500 && error.code !== 'overloaded')
    request.log.error({ reqId: request.id, event: 'request_failed', code: error.code, err: error }, error.detail);
  else request.log.debug({ reqId: request.id, event: 'request_refused', code: error.code }, error.detail);
  if (error.retryAfterSeconds !== undefined)
    reply.header('retry-after', Math.max(1, Math.ceil(error.retryAfterSeconds)));
  if (error.code === 'unauthorized') reply.header('www-authenticate', 'Bearer');
  return reply
    .code(error.status)
    .header('cache-control', 'no-store')
    .type('application/problem+json')
    .send(JSON.stringify({ ...oauthMembers(request.url, error), ...problemOf(error, request.id, problemsUrl) }));
};

/**
 * Below `/oauth/`, every error has the members of RFC 6749 §5.2 too. If that section has no suitable code, `error` is one
 * of §4.1.2.1.
 */
export function oauthMembers(url: string | undefined, { status, detail }: WebdistError) {
  if (!url?.startsWith('/oauth/')) return {};
  const isTemporary = status === 429 || status === 503;
  const error = isTemporary ? 'temporarily_unavailable' : status >= 500 ? 'server_error' : 'invalid_request';
  return { error, error_description: permittedText(detail) };
}

function asWebdistError(error: FastifyError, request: FastifyRequest): WebdistError {
  if (isWebdistError(error)) return error;
  if (error.validation) return new WebdistError('invalid_request', describeValidation(error));
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new WebdistError('too_large', 'body: is larger than this path accepts.');
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new WebdistError('unsupported_media_type', `content-type: must be ${mediaTypeOf(request)}.`);
  if (error.code === 'FST_ERR_BAD_URL') return new WebdistError('invalid_request', BAD_URL);
  // A parameter of the path is over 100 characters.
  if (error.code === 'FST_ERR_MAX_PARAM_LENGTH') return notFound([]);
  if (error.statusCode === 400) return new WebdistError('invalid_request', 'body: is not a JSON document.');
  return new WebdistError('internal_error', 'The request could not be answered.', { cause: error });
}

/** The media type of the bodies that the route of a request accepts. */
const mediaTypeOf = ({ routeOptions }: FastifyRequest) => routeOptions.schema?.consumes?.[0] ?? 'application/json';

type Issue = { instancePath?: string; message?: string; params?: { keys?: string[] } };

/** `body.account: …` for each wrong field, at most five. */
function describeValidation({ validation, validationContext = 'body' }: FastifyError): string {
  const place = (issue: Issue) =>
    [validationContext, ...(issue.instancePath ?? '').split('/').filter(Boolean)].join('.');
  const parts = (validation as Issue[]).slice(0, 5).map((issue) => `${place(issue)}: ${issue.message}`.slice(0, 200));
  return visible(parts.join('; '));
}
