/**
 * Sends HTTP requests to App Store Connect: adds the bearer JWT, retries where that is safe, limits time and size,
 * records Apple's clock and rate limit, and turns every failure into a WebdistError.
 */

import ky, { isHTTPError, isNetworkError, type RetryOptions } from 'ky';
import type { Logger } from 'pino';
import { connectionProblem, proxyProblem } from '../connection-problem.ts';
import { WebdistError } from '../errors.ts';
import { readBody, TooLongError } from '../outbound.ts';
import type { ApiTokenSource } from './api-token.ts';
import { ascError, classifyResponse, retryAfterSecondsOf } from './classify.ts';
import type { Observations } from './observations.ts';

/** The time limits and the number of retries. */
export type RetryPolicy = {
  /** Time limit of one attempt, to the last byte of the response. */
  readonly attemptTimeoutMs: number;
  /** Time limit of one operation with its retries and pages. */
  readonly totalTimeoutMs: number;
  /** Number of further attempts of a request that is safe to retry. */
  readonly retries: number;
  /**
   * The limit of the first pause. The limit doubles for each further pause, and the actual pause is random between 0
   * and the limit.
   */
  readonly backoffMs: number;
  /** If `Retry-After` is longer than this, the request fails at once, and the error contains it. */
  readonly maxRetryAfterMs: number;
};

/** All pauses of one GET fit into the total time, so that a refusal is not reported as a timeout. */
export const defaultRetryPolicy: RetryPolicy = {
  attemptTimeoutMs: 10_000,
  totalTimeoutMs: 30_000,
  retries: 2,
  backoffMs: 500,
  maxRetryAfterMs: 10_000,
};

/** One attempt, for metrics and traces. `url` is without its query. `status` is undefined if there was no response. */
export type RequestAttempt = {
  readonly method: string;
  readonly url: string;
  readonly status: number | undefined;
  readonly durationSeconds: number;
};

/**
 * Sends one request, which the signal can abort. Returns the parsed JSON of a 2xx response, or undefined if it is
 * empty.
 */
export type Send = (request: {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: URL;
  readonly json?: unknown;
  readonly signal: AbortSignal;
}) => Promise<unknown>;

/** The largest response that is accepted; 200 keys are about 60 kB. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

type HttpOptions = {
  readonly apiTokens: ApiTokenSource;
  readonly observations: Observations;
  readonly log: Logger;
  readonly retryPolicy: RetryPolicy;
  readonly onAttempt?: ((attempt: RequestAttempt) => void) | undefined;
};

/**
 * Returns the function that sends. GET is retried after network errors, timeouts, 5xx, and 429 with a short
 * `Retry-After`. DELETE is retried only if no connection was made, and POST never. A 401 means that nothing was done,
 * so any request is sent once more after it, with a new JWT dated by Apple's clock. Throws `asc_…` (see {@link
 * classifyResponse}), `asc_outage` when there is no usable response, and `signer_unavailable`.
 */
export function openHttp(options: HttpOptions): Send {
  const { observations, retryPolicy } = options;
  const retry = retryOptions(retryPolicy);
  return async ({ method, url, json, signal }) => {
    const name = `${method} ${url.pathname}`;
    try {
      const response = await ky(url, {
        method,
        signal,
        ...(json !== undefined && { json }),
        headers: { accept: 'application/json' },
        redirect: 'manual',
        timeout: retryPolicy.attemptTimeoutMs,
        retry: retry[method],
        fetch: (input) => sendAuthorized(input as Request, options),
      });
      return parse(name, response.status, await response.text());
    } catch (error) {
      throw asWebdistError(name, error, observations.lastClockOffsetSeconds);
    }
  };
}

/** The JWT is added to a copy of the request, because ky attaches the original request to its errors. */
async function sendAuthorized(request: Request, options: HttpOptions): Promise<Response> {
  const { apiTokens } = options;
  const send = async (apiToken: string) => {
    const copy = request.clone();
    copy.headers.set('authorization', `Bearer ${apiToken}`);
    return attempt(copy, options);
  };
  const apiToken = await apiTokens.read();
  const response = await send(apiToken);
  if (response.status !== 401) return response;
  apiTokens.discard(apiToken);
  return send(await apiTokens.read());
}

async function attempt(request: Request, { observations, log, onAttempt }: HttpOptions): Promise<Response> {
  const startedAt = performance.now();
  const { method, url } = request;
  const { origin, pathname } = new URL(url);
  const report = (status: number | undefined) => {
    const durationSeconds = (performance.now() - startedAt) / 1000;
    const ended = { method, url: origin + pathname, status, durationSeconds };
    log.debug({ event: 'asc_response', ...ended }, 'sent a request to App Store Connect');
    onAttempt?.(ended);
  };
  try {
    const response = await fetch(request);
    observations.record(response);
    // The body is read here, so that the timeout of the attempt and the retries cover it.
    const whole = await readWhole(response);
    report(response.status);
    return whole;
  } catch (error) {
    report(undefined);
    throw error;
  }
}

function retryOptions(policy: RetryPolicy): Readonly<Record<'GET' | 'POST' | 'DELETE', RetryOptions>> {
  const { retries: limit, backoffMs, maxRetryAfterMs } = policy;
  const delay = (attemptCount: number) => backoffMs * 2 ** (attemptCount - 1);
  return {
    GET: {
      limit,
      delay,
      jitter: true,
      methods: ['get'],
      statusCodes: [408, 429, 500, 502, 503, 504],
      afterStatusCodes: [429, 503],
      retryOnTimeout: true,
      // Undefined means that the options above decide.
      shouldRetry: ({ error }) =>
        isHTTPError(error) && isTooEarly(error.response, maxRetryAfterMs) ? false : undefined,
    },
    DELETE: { limit, delay, jitter: true, methods: ['delete'], shouldRetry: ({ error }) => neverConnected(error) },
    POST: { limit: 0 },
  };
}

/**
 * A retry before the time in Retry-After would be refused again. A 429 without it means that the hourly limit is used
 * up.
 */
function isTooEarly({ status, headers }: Response, maxRetryAfterMs: number): boolean {
  const retryAfterSeconds = retryAfterSecondsOf(headers) ?? (status === 429 ? Number.POSITIVE_INFINITY : 0);
  return retryAfterSeconds * 1000 > maxRetryAfterMs;
}

const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_CONNECT_TIMEOUT',
]);

const codeOf = (error: unknown) => (error as { code?: unknown } | undefined)?.code;

function neverConnected(error: Error): boolean {
  return NEVER_CONNECTED.has(String(codeOf(rootCause(error))));
}

function rootCause(error: Error): Error {
  return error.cause instanceof Error ? rootCause(error.cause) : error;
}

async function readWhole(response: Response): Promise<Response> {
  const bytes = await readBody(response, MAX_BODY_BYTES).catch((error) => {
    if (!(error instanceof TooLongError)) throw error;
    throw ascError('asc_outage', `App Store Connect sent more than ${MAX_BODY_BYTES} bytes.`);
  });
  const { status, headers } = response;
  return new Response(bytes.length > 0 ? new Uint8Array(bytes) : null, { status, headers });
}

function parse(name: string, status: number, text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // The cause is dropped on purpose, because it quotes the text, which may not be from Apple.
    throw ascError('asc_outage', `${name}: App Store Connect answered ${status} with something that is not JSON.`);
  }
}

function asWebdistError(name: string, error: unknown, clockOffsetSeconds: number | undefined): unknown {
  if (error instanceof WebdistError || !(error instanceof Error)) return error;
  if (isHTTPError(error)) {
    const { status, headers } = error.response;
    return classifyResponse(name, { status, headers, body: error.data }, clockOffsetSeconds);
  }
  // ky's own TimeoutError, or the DOMException of the signal that limits the whole operation.
  if (error.name === 'TimeoutError') return ascError('asc_outage', `${name}: no answer in time.`);
  if (!isNetworkError(error)) return error;
  const cause = rootCause(error);
  const known = proxyProblem(error) ?? connectionProblem(cause);
  if (known) {
    const hint = known.hint ? ` ${known.hint}` : '';
    return ascError('asc_outage', `${name}: App Store Connect ${known.what}.${hint}`, { cause });
  }
  // The message of `fetch` itself, such as "bad port"; it contains no value.
  const why = codeOf(cause) ?? (cause.name === 'Error' ? cause.message : cause.name);
  return ascError('asc_outage', `${name}: no answer (${why}).`, { cause });
}
