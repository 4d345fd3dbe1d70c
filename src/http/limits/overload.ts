/**
 * Refuses requests early, with 503 and `Retry-After`, when this process would answer them too late: while the event loop
 * lags, or while too many requests are in progress.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { WebdistError } from '../../errors.ts';
import type { Metrics } from '../../metrics.ts';

export type OverloadLimits = {
  /** Mean lag of the event loop that must be exceeded in two consecutive samples: a single one is start-up or a hiccup. */
  readonly maxLagMs: number;
  /** Requests in progress in the protected scopes of this process, while the loop does not lag. */
  readonly maxUnderWay: number;
  /** Concurrency floor: so few requests are some 30 ms of work and cannot cause the lag. */
  readonly leastUnderWay: number;
};

const defaults: OverloadLimits = { maxLagMs: 30, maxUnderWay: 1000, leastUnderWay: 128 };

const SAMPLE_MS = 100;
const RESOLUTION_MS = 10;
const RETRY_SECONDS = 1;

/**
 * Returns a function that adds the check to a scope, before everything that is added to it later. Sampling ends with the
 * app. The number of requests allowed in progress shrinks by a fifth with each sample that lags and grows by a tenth with
 * each that does not, so that it settles at what this machine can answer in time, as a TCP window does (RFC 5681).
 */
export function openOverload(app: FastifyInstance, metrics: Pick<Metrics, 'overloaded'>, limits = defaults) {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  // One object for all refusals: creating an error costs a stack trace, and a refusal must be cheap.
  const refusal = new WebdistError('overloaded', `Try again in ${RETRY_SECONDS} s.`, {
    retryAfterSeconds: RETRY_SECONDS,
  });
  let allowed = limits.maxUnderWay;
  let underWay = 0;
  let mostUnderWay = 0;
  let lagMs = 0;
  let isLagging = false;
  const sampling = setInterval(() => {
    const previousLagMs = lagMs;
    // Without a tick in the sample the mean is NaN: the loop was blocked all the time.
    lagMs = loop.count > 0 ? loop.mean / 1e6 - RESOLUTION_MS : SAMPLE_MS;
    loop.reset();
    const lags = Math.min(previousLagMs, lagMs) > limits.maxLagMs;
    allowed = lags
      ? Math.max(limits.leastUnderWay, Math.floor(Math.min(allowed, mostUnderWay) * 0.8))
      : Math.min(limits.maxUnderWay, Math.floor(allowed * 1.1) + 1);
    mostUnderWay = underWay;
    if (lags && !isLagging)
      app.log.warn({ event: 'overloaded', allowed }, 'the event loop lags; requests beyond `allowed` are refused');
    if (isLagging && allowed === limits.maxUnderWay)
      app.log.info({ event: 'overload_over' }, 'no request is refused any longer');
    isLagging = lags || (isLagging && allowed < limits.maxUnderWay);
  }, SAMPLE_MS).unref();
  app.addHook('onClose', async () => {
    clearInterval(sampling);
    loop.disable();
  });

  const ended = () => {
    underWay -= 1;
  };
  return (scope: FastifyInstance): void => {
    scope.addHook('onRequest', (_request, reply, done) => {
      if (underWay >= allowed) {
        metrics.overloaded.inc({ reason: allowed < limits.maxUnderWay ? 'lag' : 'under_way' });
        return done(refusal);
      }
      underWay += 1;
      mostUnderWay = Math.max(mostUnderWay, underWay);
      // Emitted once per response, whether it was sent completely or the connection broke.
      reply.raw.once('close', ended);
      done();
    });
  };
}
