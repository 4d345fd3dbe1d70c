/**
 * Refuses requests early, with 503 and `Retry-After`, when this process would answer them too late: while the event loop
 * lags, or while too many requests are in progress. The refusal comes before the framework sees the request: a refusal
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
  /** Mean lag of the event loop that must be exceeded in two consecutive samples: a single one is start-up or a hiccup. */
  readonly maxLagMs: number;
  /** Protected requests in progress in this process, while the loop does not lag. */
  readonly maxUnderWay: number;
  /** Concurrency floor: so few requests are some 30 ms of work and cannot cause the lag. */
  readonly leastUnderWay: number;
  /** Mean lag of the event loop in milliseconds since the previous call; default: as Node.js measures it. */
  readonly lagMs?: () => number;
};

const defaults: OverloadLimits = { maxLagMs: 30, maxUnderWay: 1000, leastUnderWay: 128 };

const SAMPLE_MS = 100;
const RESOLUTION_MS = 10;
const RETRY_SECONDS = 1;

/** The check, running until `close`. */
export type Overload = {
  /**
   * Protects the routes that are added to the scope later. Every other request is answered however busy the process is:
   * health, metrics and documents.
   */
  protect(scope: FastifyInstance): void;
  /** Answers a request itself if it must be refused; passes every other one on. */
  wrap(handler: RequestListener): RequestListener;
  /** Ends the sampling. */
  close(): void;
};

type Deps = {
  readonly metrics: Pick<Metrics, 'overloaded'>;
  readonly log: Logger;
  /** Headers of every response, and those that let the page of this request read it. */
  readonly headersFor: (request: IncomingMessage) => Readonly<Record<string, string>>;
};

/**
 * The number of requests allowed in progress shrinks by a fifth with each sample that lags and grows by a tenth with each
 * that does not, so that it settles at what this machine can answer in time, as a TCP window does (RFC 5681).
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
    // The router decodes a path, and finds the one in an absolute URL: such spellings are not worth being told apart.
    return paths.has(path) || path.includes('%') || !path.startsWith('/');
  };
  const ended = () => {
    underWay -= 1;
  };
  const admit = (response: ServerResponse): void => {
    underWay += 1;
    mostUnderWay = Math.max(mostUnderWay, underWay);
    // Emitted once per response, whether it was sent completely or the connection broke.
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
      // Without a tick in the sample the mean is NaN: the loop was blocked all the time.
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
/** The same for every request, and so without the request's id. */
const { requestId: _, ...problem } = problemOf(overloaded, '');
const BODY = JSON.stringify(problem);
const HEADERS = {
  'cache-control': 'no-store',
  'content-length': String(Buffer.byteLength(BODY)),
  'content-type': 'application/problem+json',
  'retry-after': String(RETRY_SECONDS),
};

/** The body of the request is read and dropped, so that the connection can be used again. */
function refuse(request: IncomingMessage, response: ServerResponse, headers: Readonly<Record<string, string>>): void {
  response.writeHead(overloaded.status, { ...headers, ...HEADERS }).end(BODY);
  request.resume();
}
