/**
 * Refuses requests early, with 503 and `Retry-After`, if this process would answer them too late: while the event loop
 * lags, or while too many requests are in progress. The framework does not see a refused request, because a refusal
 * that costs as much as a token would keep the process overloaded.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { WebdistError } from '../../errors.ts';
import type { Metrics } from '../../metrics.ts';
import { problemOf } from '../problems.ts';

/** When to refuse. */
export type OverloadLimits = {
  /**
   * The mean lag of the event loop that two consecutive samples must exceed. A single sample can be start-up or a
   * hiccup.
   */
  readonly maxLagMs: number;
  /** Protected requests in progress in this process, while the loop does not lag. */
  readonly maxUnderWay: number;
  /** Concurrency floor. This few requests are about 30 ms of work, and cannot cause the lag. */
  readonly leastUnderWay: number;
  /**
   * Returns the mean lag of the event loop since the previous call, in milliseconds. By default, Node.js measures it.
   */
  readonly lagMs?: () => number;
};

const defaults: OverloadLimits = { maxLagMs: 30, maxUnderWay: 1000, leastUnderWay: 128 };

const SAMPLE_MS = 100;
const RESOLUTION_MS = 10;
const RETRY_SECONDS = 1;

/** The check, running until `close`. */
export type Overload = {
  /**
   * Protects the routes that are added to the scope after this call. Other requests (health, metrics, documents) are
   * answered however busy the process is.
   */
  protect(scope: FastifyInstance): void;
  /** Answers a request that must be refused, and passes on every other request. */
  wrap(handler: RequestListener): RequestListener;
  /** Ends the sampling. */
  close(): void;
};

type Deps = {
  readonly metrics: Pick<Metrics, 'overloaded'>;
  readonly log: Logger;
  /** The headers of every response, and those that let the page that sent this request read it. */
  readonly headersFor: (request: IncomingMessage) => Readonly<Record<string, string>>;
};

/**
 * The number of requests allowed in progress shrinks by a fifth with each sample that lags, and grows by a tenth with
 * each other sample. So it settles, like a TCP window (RFC 5681), at the number that this machine can answer in time.
 */
export function openOverload({ metrics, log, headersFor }: Deps, limits = defaults): Overload {
  const loop = openLoopMeter();
  const measureLagMs = limits.lagMs ?? loop.lagMs;
  let allowed = limits.maxUnderWay;
  let underWay = 0;
  let mostUnderWay = 0;
  let lagMs = 0;
  let isLagging = false;
  const sampling = setInterval(() => {
    const previousLagMs = lagMs;
    lagMs = measureLagMs();
    const lags = Math.min(previousLagMs, lagMs) > limits.maxLagMs;
    allowed = lags
      ? Math.max(limits.leastUnderWay, Math.floor(Math.min(allowed, mostUnderWay) * 0.8))
      : Math.min(limits.maxUnderWay, Math.floor(allowed * 1.1) + 1);
    mostUnderWay = underWay;
    if (lags && !isLagging)
      log.warn({ event: 'overloaded', allowed }, 'the event loop lags; requests beyond `allowed` are refused');
    if (isLagging && allowed === limits.maxUnderWay)
      log.info({ event: 'overload_over' }, 'no request is refused any longer');
    isLagging = lags || (isLagging && allowed < limits.maxUnderWay);
  }, SAMPLE_MS).unref();

  const paths = new Set<string>();
  const isProtected = (url: string): boolean => {
    const path = url.split('?', 1)[0] ?? '';
    // The router also accepts encoded paths and absolute URLs. All of these count as protected.
    return paths.has(path) || path.includes('%') || !path.startsWith('/');
  };
  const ended = () => {
    underWay -= 1;
  };
  const admit = (response: ServerResponse): void => {
    underWay += 1;
    mostUnderWay = Math.max(mostUnderWay, underWay);
    // `close` is emitted once per response, whether the response was sent completely or the connection broke.
    response.once('close', ended);
  };
  return {
    protect(scope) {
      scope.addHook('onRoute', ({ url }) => {
        paths.add(url);
      });
    },
    wrap: (handler) => (request, response) => {
      if (request.method === 'OPTIONS' || !isProtected(request.url ?? '')) return handler(request, response);
      if (underWay < allowed) {
        admit(response);
        return handler(request, response);
      }
      metrics.overloaded.inc({ reason: allowed < limits.maxUnderWay ? 'lag' : 'under_way' });
      refuse(request, response, headersFor(request));
    },
    close() {
      clearInterval(sampling);
      loop.close();
    },
  };
}

/** Measures the mean lag of the event loop between two calls of `lagMs`. */
export function openLoopMeter() {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  return {
    lagMs(): number {
      // The mean is NaN if the sample has no tick, because the loop was blocked all the time.
      const meanMs = loop.count > 0 ? loop.mean / 1e6 - RESOLUTION_MS : SAMPLE_MS;
      loop.reset();
      return meanMs;
    },
    close: () => loop.disable(),
  };
}

const overloaded = new WebdistError('overloaded', `Try again in ${RETRY_SECONDS} s.`, {
  retryAfterSeconds: RETRY_SECONDS,
});
/** The response is the same for every request, so it has no request id. */
const { requestId: _, ...problem } = problemOf(overloaded, '');
const BODY = JSON.stringify(problem);
const HEADERS = {
  'cache-control': 'no-store',
  'content-length': String(Buffer.byteLength(BODY)),
  'content-type': 'application/problem+json',
  'retry-after': String(RETRY_SECONDS),
};

/** The body of the request is read and discarded, so that the connection can be used again. */
function refuse(request: IncomingMessage, response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  response.writeHead(overloaded.status, { ...headers, ...HEADERS }).end(BODY);
  request.resume();
}
