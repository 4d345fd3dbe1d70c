/**
 * HTTP to one App Store Connect: the bearer JWT, safe retries, bounded time and size, Apple's clock and rate limit,
 * and every failure as a WebdistError.
 */

import ky, { isHTTPError, isNetworkError, type RetryOptions } from 'ky';
import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import type { ApiTokenSource } from './api-token.ts';
import { ascError, CLOCK_TOLERANCE_SECONDS, classifyAnswer, retryAfterSecondsOf } from './classify.ts';

/** How long and how often to try. */
export type Patience = {
  /** One attempt, to the last byte of the answer. */
  readonly attemptTimeoutMs: number;
  /** One operation with its retries and pages. */
  readonly totalTimeoutMs: number;
  /** Further attempts of a request that is safe to repeat. */
  readonly retries: number;
  /** The first pause; each next one is twice as long, and the real one is random between 0 and that. */
  readonly backoffMs: number;
  /** A longer `Retry-After` is not waited for but reported in the error. */
  readonly maxRetryAfterMs: number;
};

/** All pauses of one GET fit into the total, so that a refusal is reported as what it is and not as lateness. */
export const defaultPatience: Patience = {
  attemptTimeoutMs: 10_000,
  totalTimeoutMs: 30_000,
  retries: 2,
  backoffMs: 500,
  maxRetryAfterMs: 10_000,
};

/** One attempt, for metrics and traces: `status` is undefined when no answer came; the path is without a query. */
export type SeenResponse = {
  readonly method: string;
  readonly path: string;
  readonly status: number | undefined;
  readonly durationSeconds: number;
};

/** As Apple last said in `X-Rate-Limit` (docs/apple-facts.md §4.10): requests in a rolling hour, of this API key. */
export type RateLimit = { readonly limit: number; readonly remaining: number };

/** What Apple's answers tell beside the data. The token source reads the offset, so it is shared. */
export type Observed = { clockOffsetSeconds: number | undefined; rateLimit: RateLimit | undefined };

/** Sends one request, the signal ending it; gives the parsed JSON of a 2xx answer, undefined when that is empty. */
export type Send = (request: {
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly url: URL;
  readonly json?: unknown;
  readonly signal: AbortSignal;
}) => Promise<unknown>;

/** An answer is read whole, to this size; 200 keys are about 60 kB. */
const MAX_BODY_BYTES = 4 * 1024 * 1024;

/**
 * Makes the one function that sends. It repeats GET after network errors, timeouts, 429 and 5xx; DELETE only when no
 * connection was made; POST never. A 401 of any method is tried once more with a new JWT made by Apple's clock: it says that nothing was done.
 * Throws `asc_…` by {@link classifyAnswer}, `asc_outage` when there is no usable answer, and `signer_unavailable`.
 */
export function openHttp(options: {
  readonly apiTokens: ApiTokenSource;
  readonly observed: Observed;
  readonly log: Logger;
  readonly now: () => number;
  readonly patience: Patience;
  readonly onResponse?: ((seen: SeenResponse) => void) | undefined;
}): Send {
  const { apiTokens, observed, log, now, patience, onResponse } = options;

  const attempt = async (request: Request): Promise<Response> => {
    const started = performance.now();
    const seen = (status: number | undefined) => {
      const durationSeconds = (performance.now() - started) / 1000;
      const response = { method: request.method, path: new URL(request.url).pathname, status, durationSeconds };
      log.debug(response, 'asc_response');
      onResponse?.(response);
    };
    try {
      const response = await fetch(request);
      observe(response.headers, { observed, log, now });
      // Read here, so that the timeout of the attempt and the retries cover the body too.
      const whole = await readWhole(response);
      seen(response.status);
      return whole;
    } catch (error) {
      seen(undefined);
      throw error;
    }
  };

  // The bearer goes on a copy of the request: the one ky keeps, and puts into its errors, never has it.
  const authorized = async (request: Request): Promise<Response> => {
    const send = async (apiToken: string) => {
      const copy = request.clone();
      copy.headers.set('authorization', `Bearer ${apiToken}`);
      return attempt(copy);
    };
    const apiToken = await apiTokens.read();
    const response = await send(apiToken);
    if (response.status !== 401) return response;
    apiTokens.discard(apiToken);
    return send(await apiTokens.read());
  };

  const retry = retryOptions(patience);
  return async ({ method, url, json, signal }) => {
    const name = `${method} ${url.pathname}`;
    try {
      const response = await ky(url, {
        method,
        signal,
        ...(json !== undefined && { json }),
        headers: { accept: 'application/json' },
        redirect: 'manual',
        timeout: patience.attemptTimeoutMs,
        retry: retry[method],
        fetch: (input) => authorized(input as Request),
      });
      return parse(name, response.status, await response.text());
    } catch (error) {
      throw asWebdistError(name, error, observed.clockOffsetSeconds);
    }
  };
}

function retryOptions(patience: Patience): Readonly<Record<'GET' | 'POST' | 'DELETE', RetryOptions>> {
  const { retries: limit, backoffMs, maxRetryAfterMs } = patience;
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
      // Trying sooner than told would be refused again; undefined means: by the lines above.
      shouldRetry: ({ error }) =>
        isHTTPError(error) && (retryAfterSecondsOf(error.response.headers) ?? 0) * 1000 > maxRetryAfterMs
          ? false
          : undefined,
    },
    DELETE: { limit, delay, jitter: true, methods: ['delete'], shouldRetry: ({ error }) => neverConnected(error) },
    POST: { limit: 0 },
  };
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

function observe(
  headers: Headers,
  { observed, log, now }: { observed: Observed; log: Logger; now: () => number },
): void {
  const rate = headers.get('x-rate-limit') ?? '';
  const limit = /user-hour-lim:(\d+)/.exec(rate)?.[1];
  const remaining = /user-hour-rem:(\d+)/.exec(rate)?.[1];
  if (limit && remaining) observed.rateLimit = { limit: Number(limit), remaining: Number(remaining) };

  const appleTimeMs = Date.parse(headers.get('date') ?? '');
  if (Number.isNaN(appleTimeMs)) return;
  const before = observed.clockOffsetSeconds ?? 0;
  const clockOffsetSeconds = Math.round((appleTimeMs - now()) / 1000);
  observed.clockOffsetSeconds = clockOffsetSeconds;
  const isOff = (seconds: number) => Math.abs(seconds) > CLOCK_TOLERANCE_SECONDS;
  if (isOff(clockOffsetSeconds) && !isOff(before)) log.warn({ clockOffsetSeconds }, 'asc_clock_differs');
}

async function readWhole(response: Response): Promise<Response> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > MAX_BODY_BYTES)
      throw ascError('asc_outage', `App Store Connect answered with more than ${MAX_BODY_BYTES} bytes.`);
    chunks.push(chunk);
  }
  const { status, headers } = response;
  return new Response(bytes > 0 ? Buffer.concat(chunks) : null, { status, headers });
}

function parse(name: string, status: number, text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // The cause is dropped on purpose: it quotes the text, which need not be Apple's.
    throw ascError('asc_outage', `${name}: App Store Connect answered ${status} with something that is not JSON.`);
  }
}

function asWebdistError(name: string, error: unknown, clockOffsetSeconds: number | undefined): unknown {
  if (error instanceof WebdistError || !(error instanceof Error)) return error;
  if (isHTTPError(error)) {
    const { status, headers } = error.response;
    return classifyAnswer(name, { status, headers, body: error.data }, clockOffsetSeconds);
  }
  // ky's own TimeoutError, and the DOMException of the signal that bounds the whole operation.
  if (error.name === 'TimeoutError') return ascError('asc_outage', `${name}: no answer in time.`);
  if (!isNetworkError(error)) return error;
  const cause = rootCause(error);
  return ascError('asc_outage', `${name}: no answer (${codeOf(cause) ?? cause.name}).`, { cause });
}
