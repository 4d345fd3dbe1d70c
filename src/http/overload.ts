/**
 * Refuses early, with 503 and `Retry-After`, what this process would answer too late: while the event loop lags, or while
 * too many requests are under way already. Must not know what is asked.
 */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { FastifyInstance } from 'fastify';
import { WebdistError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';

export type OverloadLimits = {
  /** Mean lag of the event loop, exceeded in two samples one after the other: one alone is a start or a hiccup. */
  readonly maxLagMs: number;
  /** Requests under way in this process, counted in the scopes that are protected. */
  readonly maxUnderWay: number;
  /** The same while the loop lags. A few requests are not why it lags, and refusing them would mend nothing. */
  readonly maxUnderWayLagging: number;
};

const defaults: OverloadLimits = { maxLagMs: 200, maxUnderWay: 1000, maxUnderWayLagging: 16 };

const SAMPLE_MS = 500;
const RESOLUTION_MS = 10;
const RETRY_SECONDS = 1;

/** Gives `protect`, which puts the check before everything else that is added to a scope later. Ends with the app. */
export function openOverload(app: FastifyInstance, metrics: Pick<Metrics, 'overloaded'>, limits = defaults) {
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  let lagMs = 0;
  let latestMs = 0;
  const sampling = setInterval(() => {
    const beforeMs = latestMs;
    // Without a single tick in the sample the mean is not a number: the loop stood still.
    latestMs = loop.count > 0 ? loop.mean / 1e6 - RESOLUTION_MS : SAMPLE_MS;
    lagMs = Math.min(beforeMs, latestMs);
    loop.reset();
  }, SAMPLE_MS).unref();
  app.addHook('onClose', async () => {
    clearInterval(sampling);
    loop.disable();
  });

  let underWay = 0;
  const ended = () => {
    underWay -= 1;
  };
  const reason = () => {
    if (underWay >= limits.maxUnderWay) return 'under_way';
    return lagMs > limits.maxLagMs && underWay >= limits.maxUnderWayLagging ? 'lag' : undefined;
  };
  return (scope: FastifyInstance): void => {
    scope.addHook('onRequest', (_request, reply, done) => {
      const why = reason();
      if (why) {
        metrics.overloaded.inc({ reason: why });
        return done(
          new WebdistError('overloaded', `Try again in ${RETRY_SECONDS} s.`, { retryAfterSeconds: RETRY_SECONDS }),
        );
      }
      underWay += 1;
      // Once for each answer, whether it was read or its connection went away.
      reply.raw.once('close', ended);
      done();
    });
  };
}
