/**
 * Refuses early, with 503 and `Retry-After`, what this process would answer too late: while the event loop lags, or
 * while too many requests are under way already.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { WebdistError } from '../../errors.ts';
import type { Metrics } from '../../metrics.ts';

export type OverloadLimits = {
  /** Mean lag of the event loop, exceeded in two samples one after the other: one alone is a start or a hiccup. */
  readonly maxLagMs: number;
  /** Requests under way in this process, counted in the scopes that are protected, while the loop does not lag. */
  readonly maxUnderWay: number;
  /** However much it lags: so few are some 30 ms of work, not why it lags, and refusing them would fix nothing. */
  readonly leastUnderWay: number;
};

const defaults: OverloadLimits = { maxLagMs: 30, maxUnderWay: 1000, leastUnderWay: 128 };

const SAMPLE_MS = 100;
const RESOLUTION_MS = 10;
const RETRY_SECONDS = 1;

/**
 * Gives `protect`, which puts the check before everything else that is added to a scope later. Ends with the app.
 * How many may be under way shrinks by a fifth with each sample that lags, and grows by a tenth with each that does not:
 * so it settles at what this machine can do in time, as a TCP window does (RFC 5681).
 */
export function openOverload(app: FastifyInstance, metrics: Pick<Metrics, 'overloaded'>, limits = defaults) {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  // One for all: a refusal has to cost next to nothing.
  const refusal = new WebdistError('overloaded', `Try again in ${RETRY_SECONDS} s.`, {
    retryAfterSeconds: RETRY_SECONDS,
  });
  let allowed = limits.maxUnderWay;
  let underWay = 0;
  let mostUnderWay = 0;
  let latestMs = 0;
  let isLagging = false;
  const sampling = setInterval(() => {
    const beforeMs = latestMs;
    // Without a single tick in the sample the mean is not a number: the loop stood still.
    latestMs = loop.count > 0 ? loop.mean / 1e6 - RESOLUTION_MS : SAMPLE_MS;
    loop.reset();
    const lags = Math.min(beforeMs, latestMs) > limits.maxLagMs;
    allowed = lags
      ? Math.max(limits.leastUnderWay, Math.floor(Math.min(allowed, mostUnderWay) * 0.8))
      : Math.min(limits.maxUnderWay, Math.floor(allowed * 1.1) + 1);
    mostUnderWay = underWay;
    if (lags && !isLagging)
      app.log.warn({ event: 'overloaded', allowed }, 'the event loop lags: more requests than this are refused');
    if (isLagging && allowed === limits.maxUnderWay)
      app.log.info({ event: 'overload_over' }, 'no request is refused any more');
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
      // Once for each answer, whether it was read or its connection went away.
      reply.raw.once('close', ended);
      done();
    });
  };
}
