/**
 * Refuses requests early, with 503 and `Retry-After`, if this process would answer them too late: while the event loop
 * lags, or while too many requests are in progress. The framework does not see a refused request, because a refusal
 * that costs as much as a token would keep the process overloaded.
 *
 * While the loop lags, refusals are held back for about as long as `Retry-After` says. A client that ignores
 * `Retry-After` can then send only one request a second on each connection. Without this, refusals (a fifth of the work
 * of a token each) leave 0.28 of the capacity for tokens at twice the capacity; with it, 0.87.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { performance } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { WebdistError } from '../../errors.ts';
import type { Metrics } from '../../metrics.ts';
import { problemOf } from '../problems.ts';
import { openHeld } from './held.ts';

/** When to refuse. */
export type OverloadLimits = {
  /**
   * Two consecutive samples of the event loop's lag (the mean duration of its turns) must exceed this. A single one can
   * be due to start-up or a hiccup.
   */
  readonly maxLagMs: number;
  /** Protected requests in progress in this process, while the loop does not lag. */
  readonly maxUnderWay: number;
  /** Concurrency floor. So few requests take only a few milliseconds, and signing is cheaper in batches. */
  readonly leastUnderWay: number;
  /** The longest time for which a refusal is held back while the loop lags. */
  readonly holdMs: number;
  /** Returns the lag of the event loop since the previous call, in milliseconds. Default: `openLoopMeter`. */
  readonly lagMs?: () => number;
};

const RETRY_SECONDS = 1;
const defaults: OverloadLimits = { maxLagMs: 5, maxUnderWay: 1000, leastUnderWay: 100, holdMs: RETRY_SECONDS * 1000 };

const SAMPLE_MS = 100;
/** A loop that was idle for more than the rest of the time has answered all requests that arrived. */
const BUSY_SHARE = 0.95;
/**
 * Once requests are refused, `maxLagMs` and `leastUnderWay` are reduced to this share: a longer queue would only delay
 * the requests in it. With 0.5, the p99 of tokens is 1.4 times as long, with the same number of tokens.
 */
const WHILE_LAGGING = 0.15;
/**
 * After this many refusals, one request is accepted, however many are in progress. So tokens get about a third of the
 * time, even if refusals alone could fill it. With a smaller number, more requests wait for each other.
 */
const REFUSED_PER_ACCEPTED = 8;

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
 * With each sample, the number of requests allowed in progress changes in proportion to the lag, at most to a half or to
 * double. So it settles at the number that this machine can answer in time.
 */
export function openOverload({ metrics, log, problemsUrl, headersFor }: Deps, limits = defaults): Overload {
  const measureLagMs = limits.lagMs ?? openLoopMeter();
  const { body, headers } = contentOf(problemsUrl);
  let allowed = limits.maxUnderWay;
  let underWay = 0;
  let mostUnderWay = 0;
  let refusedInARow = 0;
  let lagMs = 0;
  let isLagging = false;
  const sampling = setInterval(() => {
    const previousLagMs = lagMs;
    lagMs = measureLagMs();
    const share = isLagging ? WHILE_LAGGING : 1;
    const [maxLagMs, least] = [limits.maxLagMs * share, Math.ceil(limits.leastUnderWay * share)];
    // If fewer requests are in progress, the lag has another cause, such as the start of the process.
    const lags = Math.min(previousLagMs, lagMs) > maxLagMs && mostUnderWay >= least;
    allowed = lags
      ? Math.max(least, Math.floor(Math.min(allowed, mostUnderWay) * Math.max(0.5, maxLagMs / lagMs)))
      : Math.min(limits.maxUnderWay, Math.floor(allowed * Math.min(2, Math.max(1.1, maxLagMs / lagMs))) + 1);
    mostUnderWay = underWay;
    if (lags && !isLagging)
      log.warn({ event: 'overloaded', allowed }, 'the event loop lags; requests beyond `allowed` are refused');
    if (isLagging && allowed === limits.maxUnderWay)
      log.info({ event: 'overload_over' }, 'no request is refused any longer');
    isLagging = lags || (isLagging && allowed < limits.maxUnderWay);
  }, SAMPLE_MS).unref();

  const send = (response: ServerResponse) => {
    if (!response.destroyed)
      response.writeHead(overloaded.status, { ...headersFor(response.req), ...headers }).end(body);
  };
  const held = openHeld(limits.holdMs, send);
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
    response.on('close', ended);
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
      const isLag = allowed < limits.maxUnderWay;
      metrics.overloaded.inc({ reason: isLag ? 'lag' : 'under_way' });
      // The body is read and discarded, so that the connection can be used again.
      request.resume();
      if (isLag) held.add(response);
      else send(response);
    },
    close() {
      clearInterval(sampling);
      held.close();
    },
  };
}

/**
 * Measures how long one turn of the event loop took, on average, since the previous call, in milliseconds; 0 if the loop
 * was idle for part of that time.
 */
export function openLoopMeter(): () => number {
  let used = performance.eventLoopUtilization();
  let turns = performance.nodeTiming.uvMetricsInfo.loopCount;
  return () => {
    const { utilization, active } = performance.eventLoopUtilization(used);
    const { loopCount } = performance.nodeTiming.uvMetricsInfo;
    // The count is of whole turns, so it is 0 if the loop was blocked all the time.
    const meanMs = active / Math.max(1, loopCount - turns);
    used = performance.eventLoopUtilization();
    turns = loopCount;
    return utilization < BUSY_SHARE ? 0 : meanMs;
  };
}

const overloaded = new WebdistError('overloaded', `Try again in ${RETRY_SECONDS} s.`, {
  retryAfterSeconds: RETRY_SECONDS,
});

/** The response is the same for every request, so it has no request id. */
function contentOf(problemsUrl: string) {
  const { requestId: _, ...problem } = problemOf(overloaded, '', problemsUrl);
  const body = JSON.stringify(problem);
  const headers = {
    'cache-control': 'no-store',
    'content-length': String(Buffer.byteLength(body)),
    'content-type': 'application/problem+json',
    'retry-after': String(RETRY_SECONDS),
  };
  return { body, headers };
}
