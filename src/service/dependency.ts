/**
 * An optional dependency behind a timeout and a circuit breaker: while it keeps failing it gets no more requests than it
 * takes to notice its recovery. Its state is known to log, metrics and health.
 */

import { ConsecutiveBreaker, circuitBreaker, handleAll, TimeoutStrategy, timeout, wrap } from 'cockatiel';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';

export interface Dependency {
  /** Runs work that uses it. Throws what the work throws, or a timeout error, within the time limit. */
  ask<T>(work: () => Promise<T>): Promise<T>;
  /** Whether its last use failed. */
  readonly isDown: boolean;
  close(): void;
}

export type DependencyDeps = {
  /** For log and metrics; the events are `NAME_down` and `NAME_back`. */
  readonly name: 'ledger' | 'ledger_read' | 'ledger_evidence' | 'redis';
  /** Rejects when it cannot answer. */
  readonly ping: () => Promise<unknown>;
  /** The time limit of one use, in milliseconds. */
  readonly answerMs: number;
  /** For the log: what happens while it is down. */
  readonly meanwhile: string;
  readonly metrics: Pick<Metrics, 'dependencyUp' | 'dependencySeconds'>;
  readonly log: Logger;
};

/**
 * After this many failures in a row it is not used for a while. Then one request tries again, and requests that arrive
 * in the meantime wait for its outcome.
 */
const FAILURES_IN_A_ROW = 5;
const PAUSE_MS = 500;
/** How often it is pinged, so that its state is known although no request uses it. */
const PING_MS = 5000;

/** Pings once, so that the state is known; then at intervals until `close`. */
export async function watchDependency(deps: DependencyDeps): Promise<Dependency> {
  const { name, ping, answerMs, meanwhile, metrics, log } = deps;
  const breaker = circuitBreaker(handleAll, {
    breaker: new ConsecutiveBreaker(FAILURES_IN_A_ROW),
    halfOpenAfter: PAUSE_MS,
  });
  const limit = () => timeout(answerMs, TimeoutStrategy.Aggressive);
  // The outer limit is for requests that wait for the attempt of another one.
  const policy = wrap(limit(), breaker, limit());
  let isDown = false;
  const note = (down: boolean) => {
    isDown = down;
    metrics.dependencyUp.set({ dependency: name }, down ? 0 : 1);
  };
  const ask = async <T>(work: () => Promise<T>): Promise<T> => {
    const took = metrics.dependencySeconds.startTimer({ dependency: name });
    try {
      const result = await policy.execute(work);
      if (isDown) log.info({ event: `${name}_back` }, `${name}: answers again`);
      note(false);
      return result;
    } catch (err) {
      if (!isDown) log.error({ event: `${name}_down`, err }, `${name}: does not answer; ${meanwhile}`);
      note(true);
      throw err;
    } finally {
      took();
    }
  };
  const check = () => ask(ping).catch(() => undefined);
  await check();
  const checking = setInterval(check, PING_MS).unref();
  return {
    ask,
    get isDown() {
      return isDown;
    },
    close: () => clearInterval(checking),
  };
}
