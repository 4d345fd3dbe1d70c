/**
 * A server that this one can do without for a while: asked within a time limit, left alone while it keeps failing (a
 * server in trouble is not to be met by every request there is), its state known to log and health.
 */

import { ConsecutiveBreaker, circuitBreaker, handleAll, TimeoutStrategy, timeout, wrap } from 'cockatiel';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';

export interface Dependency {
  /** Runs work that asks it. Throws what the work throws, or an error of the time limit, within that limit. */
  ask<T>(work: () => Promise<T>): Promise<T>;
  /** Whether it failed the last time it was asked. */
  readonly isDown: boolean;
  close(): void;
}

export type DependencyParts = {
  /** For the log: events are `NAME_down` and `NAME_back`. */
  readonly name: 'ledger' | 'redis';
  /** Rejects when it cannot answer. */
  readonly ping: () => Promise<unknown>;
  readonly answerMs: number;
  /** What happens while it is down, for the log. */
  readonly meanwhile: string;
  readonly metrics: Pick<Metrics, 'storeUp' | 'storeSeconds'>;
  readonly log: Logger;
};

/** So many failures in a row, and nobody asks for a while; then one request tries, and those that come with it wait for that. */
const FAILURES_IN_A_ROW = 5;
const PAUSE_MS = 500;
/** How often it is asked when nobody else does, so that health is not old news. */
const PING_MS = 5000;

/** Asks once, so that its state is known; then watches until `close`. */
export async function watchDependency(parts: DependencyParts): Promise<Dependency> {
  const { name, ping, answerMs, meanwhile, metrics, log } = parts;
  const breaker = circuitBreaker(handleAll, {
    breaker: new ConsecutiveBreaker(FAILURES_IN_A_ROW),
    halfOpenAfter: PAUSE_MS,
  });
  const limit = () => timeout(answerMs, TimeoutStrategy.Aggressive);
  // The outer limit is for those who wait for another's attempt.
  const policy = wrap(limit(), breaker, limit());
  let isDown = false;
  const seen = (up: boolean) => {
    isDown = !up;
    metrics.storeUp.set({ dependency: name }, up ? 1 : 0);
  };
  const ask = async <T>(work: () => Promise<T>): Promise<T> => {
    const asked = metrics.storeSeconds.startTimer({ dependency: name });
    try {
      const result = await policy.execute(work);
      if (isDown) log.info({ event: `${name}_back` }, `the ${name} answers again`);
      seen(true);
      return result;
    } catch (err) {
      if (!isDown) log.error({ event: `${name}_down`, err }, `the ${name} does not answer; ${meanwhile}`);
      seen(false);
      throw err;
    } finally {
      asked();
    }
  };
  const look = () => ask(ping).catch(() => undefined);
  await look();
  const looking = setInterval(look, PING_MS).unref();
  return {
    ask,
    get isDown() {
      return isDown;
    },
    close: () => clearInterval(looking),
  };
}
