/**
 * Refuses requests early, with 503 and `Retry-After`, if this process would answer them too late: while the event loop
 * lags, or while too many requests are in progress. The framework does not see a refused request, because a refusal
 * that costs as much as a token would keep the process overloaded.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
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
  /** Concurrency floor. This few requests are a few milliseconds of work, and signing is cheaper in batches. */
  readonly leastUnderWay: number;
  /** Returns the mean lag of the event loop since the previous call, in milliseconds. Default: `openLoopMeter`. */
  readonly lagMs?: () => number;
};

const defaults: OverloadLimits = { maxLagMs: 5, maxUnderWay: 1000, leastUnderWay: 64 };

const SAMPLE_MS = 100;
const RESOLUTION_MS = 10;
/** A loop that was idle for more than the rest of the time has answered all requests that arrived. */
const BUSY_SHARE = 0.95;
/**
 * After this many refusals, one request is accepted, however many are in progress. So tokens get about a third of the
 * time, even if refusals alone could fill it. With a smaller number, more requests wait for each other.
 */
const REFUSED_PER_ACCEPTED = 8;
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
  /** The start of the `type` of a problem. */
  readonly problemsUrl: string;
  /** The headers of every response, and those that let the page that sent this request read it. */
  readonly headersFor: (request: IncomingMessage) => Readonly<Record<string, string>>;
};

/**
 * The number of requests allowed in progress shrinks with each sample that lags, in proportion to the lag but at most to
 * a half, and grows by a tenth with each other sample. So it settles, like a TCP window (RFC 5681), at the number that this
 * machine can answer in time.
 */
export function openOverload({ metrics, log, problemsUrl, headersFor }: Deps, limits = defaults): Overload {
  const refuse = refuser(problemsUrl);
  const loop = openLoopMeter();
  const measureLagMs = limits.lagMs ?? loop.lagMs;
  let allowed = limits.maxUnderWay;
  let underWay = 0;
  let mostUnderWay = 0;
  let refusedInARow = 0;
  let lagMs = 0;
  let isLagging = false;
  const sampling = setInterval(() => {
    const previousLagMs = lagMs;
    lagMs = measureLagMs();
    // If fewer requests are in progress, the lag has another cause, such as the start of the process.
    const lags = Math.min(previousLagMs, lagMs) > limits.maxLagMs && mostUnderWay >= limits.leastUnderWay;
    const shrunk = Math.floor(Math.min(allowed, mostUnderWay) * Math.max(0.5, limits.maxLagMs / lagMs));
    allowed = lags
      ? Math.max(limits.leastUnderWay, shrunk)
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
      if (underWay < allowed || (refusedInARow >= REFUSED_PER_ACCEPTED && underWay < limits.maxUnderWay)) {
        refusedInARow = 0;
        admit(response);
        return handler(request, response);
      }
      refusedInARow += 1;
      metrics.overloaded.inc({ reason: allowed < limits.maxUnderWay ? 'lag' : 'under_way' });
      refuse(request, response, headersFor(request));
    },
    close() {
      clearInterval(sampling);
      loop.close();
    },
  };
}

/** Measures the mean lag of the event loop between two calls of `lagMs`; 0 if the loop was idle for part of that time. */
export function openLoopMeter() {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  let used = performance.eventLoopUtilization();
  return {
    lagMs(): number {
      const { utilization } = performance.eventLoopUtilization(used);
      used = performance.eventLoopUtilization();
      // The mean is NaN if the sample has no tick, because the loop was blocked all the time.
      const meanMs = loop.count > 0 ? loop.mean / 1e6 - RESOLUTION_MS : SAMPLE_MS;
      loop.reset();
      return utilization < BUSY_SHARE ? 0 : meanMs;
    },
    close: () => loop.disable(),
  };
}

const overloaded = new WebdistError('overloaded', `Try again in ${RETRY_SECONDS} s.`, {
  retryAfterSeconds: RETRY_SECONDS,
});

/**
 * Returns the function that refuses a request. The response is the same for every request, so it has no request id. The
 * body of the request is read and discarded, so that the connection can be used again.
 */
function refuser(problemsUrl: string) {
  const { requestId: _, ...problem } = problemOf(overloaded, '', problemsUrl);
  const body = JSON.stringify(problem);
  const own = {
    'cache-control': 'no-store',
    'content-length': String(Buffer.byteLength(body)),
    'content-type': 'application/problem+json',
    'retry-after': String(RETRY_SECONDS),
  };
  return (request: IncomingMessage, response: ServerResponse, headers: Readonly<Record<string, string>>): void => {
    response.writeHead(overloaded.status, { ...headers, ...own }).end(body);
    request.resume();
  };
}
