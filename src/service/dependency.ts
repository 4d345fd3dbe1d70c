/**
 * An optional dependency behind a timeout and a circuit breaker. While it keeps failing, it gets only the few requests
 * that are needed to notice its recovery. Log, metrics and health show its state.
 */

import { ConsecutiveBreaker, handleAll, isBrokenCircuitError } from 'cockatiel';
import type { Logger } from 'pino';
import { openBreaker } from '../breaker.ts';
import { isWebdistError } from '../errors.ts';
import type { Metrics } from '../metrics.ts';

export interface Dependency {
  /** Runs work that uses the dependency. Throws what the work throws, or a timeout error, within the time limit. */
  use<T>(work: () => T | Promise<T>): Promise<T>;
  /** Says in one sentence why the last use failed; undefined if it succeeded. */
  readonly problem: string | undefined;
  close(): void;
}

export type DependencyDeps = {
  /** The name in log and metrics. The events are `NAME_down` and `NAME_back`. */
  readonly name: 'ledger' | 'ledger_read' | 'ledger_evidence' | 'redis';
  /** Rejects if the dependency cannot answer. */
  readonly ping: () => Promise<unknown>;
  /**
   * True if work may be done twice. If so, each check first repeats the work that failed last. So a dependency that fails
   * only for some work is reported as down throughout, instead of alternating between down and up.
   */
  readonly isRepeatable?: boolean;
  /** The time limit of one use, in milliseconds. */
  readonly answerMs: number;
  /** What webdist does while the dependency is down, for the log. */
  readonly meanwhile: string;
  readonly metrics: Pick<Metrics, 'dependencyUp' | 'dependencySeconds'>;
  readonly log: Logger;
};

/**
 * After this many failures in a row, the dependency is not used for a while. Then one request tries it, and requests
 * that arrive in the meantime wait for the outcome.
 */
const FAILURES_IN_A_ROW = 5;
const PAUSE_MS = 500;
/**
 * Late answers are not an outage, unless this many checks in a row, which follow at once, fail as well, because this
 * machine may be busy.
 */
const FAILED_CHECKS = 2;
/**
 * How often the dependency is checked, so that its state is known even if no request uses it, and its recovery is noticed
 * soon.
 */
const CHECK_MS = 5000;
const CHECK_DOWN_MS = 1000;
/**
 * An outage is over when a check succeeds and nothing has failed for this long. Otherwise, a dependency that answers only
 * some uses in time would alternate between down and up.
 */
const STEADY_MS = 2000;

/**
 * Checks the dependency once, so that its state is known, and then at intervals until `close`. An outage begins with a use
 * that fails, or with checks that are too late. It ends with a check that succeeds, when no use has failed for `STEADY_MS`.
 */
export async function watchDependency(deps: DependencyDeps): Promise<Dependency> {
  const { name, ping, isRepeatable = false, answerMs, meanwhile, metrics, log } = deps;
  const breaker = openBreaker(handleAll, new ConsecutiveBreaker(FAILURES_IN_A_ROW), PAUSE_MS);
  // The outer limit is for requests that wait for another request's attempt.
  const useInTime = <T>(work: () => T | Promise<T>) =>
    inTime(answerMs, () => breaker.execute(() => inTime(answerMs, work)));
  // While there is no problem, an answer without a promise needs no time limit and no circuit breaker. With them, such a
  // lookup makes a token take 1.04 times the CPU time, with one connection.
  const attempt = <T>(work: () => T | Promise<T>): T | Promise<T> => {
    if (problem !== undefined || breaker.state !== 'closed') return useInTime(work);
    const answer = work();
    return answer instanceof Promise ? useInTime(() => answer) : answer;
  };
  const labels = { dependency: name };
  let problem: string | undefined;
  const note = (found: string | undefined) => {
    problem = found;
    metrics.dependencyUp.set(labels, found === undefined ? 1 : 0);
  };
  const began = (err: unknown) => {
    const found = problemOf(err) ?? problem ?? 'It does not answer in time.';
    // The reason of an outage may change to one that only a person can fix.
    const isNews = problem === undefined || (isWebdistError(err) && err.code === 'state_invalid' && found !== problem);
    if (isNews) log.error({ event: `${name}_down`, err }, `${name}: ${found} Meanwhile, ${meanwhile}`);
    if (problem === undefined) checkIn(CHECK_DOWN_MS);
    note(found);
  };
  const ended = () => {
    if (problem !== undefined) log.info({ event: `${name}_back` }, `${name}: answers again`);
    note(undefined);
  };
  const use = async <T>(work: () => T | Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    try {
      return await attempt(work);
    } catch (err) {
      failedAtMs = performance.now();
      const isCheck = work === repeatAndPing;
      if (isRepeatable && !isCheck && !isBrokenCircuitError(err)) failed = work;
      if (isCheck) failedChecks += 1;
      if (failedChecks >= FAILED_CHECKS || isWebdistError(err) || problem !== undefined) began(err);
      else checkIn(0);
      throw err;
    } finally {
      metrics.dependencySeconds.observe(labels, (performance.now() - startedAt) / 1000);
    }
  };
  let failedAtMs = Number.NEGATIVE_INFINITY;
  let failed: (() => unknown) | undefined;
  // The first check decides alone, so that the state is known.
  let failedChecks = FAILED_CHECKS - 1;
  const repeatAndPing = async () => {
    const repeated = failed;
    await repeated?.();
    await ping();
    // If this is false, other work failed in the meantime.
    if (failed === repeated) failed = undefined;
  };
  const check = async () => {
    const isOk = await use(repeatAndPing).then(
      () => true,
      () => false,
    );
    if (isOk) failedChecks = 0;
    if (isOk && failed === undefined && performance.now() - failedAtMs >= STEADY_MS) ended();
    if (problem !== undefined) checkIn(CHECK_DOWN_MS);
    else checkIn(failedChecks > 0 ? 0 : CHECK_MS);
  };
  let isClosed = false;
  let timer: NodeJS.Timeout | undefined;
  const checkIn = (ms: number) => {
    clearTimeout(timer);
    if (!isClosed) timer = setTimeout(check, ms).unref();
  };
  await check();
  return {
    use,
    get problem() {
      return problem;
    },
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/**
 * Returns the text of one of our own errors. Undefined for other errors, which mean a timeout or an open circuit
 * breaker.
 */
const problemOf = (error: unknown): string | undefined => (isWebdistError(error) ? error.message : undefined);

/**
 * Runs work, and throws if it takes longer than this many milliseconds. If the event loop was blocked, answers that
 * arrived in the meantime are read first, because then the dependency was not late. cockatiel's timeout, which can also
 * abort the work, costs 9 % of the CPU time of a returning device's token at 64 connections, and 15 % with one.
 */
async function inTime<T>(ms: number, work: () => T | Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => setImmediate(() => reject(new Error(`No answer within ${ms} ms.`))), ms);
  });
  try {
    return await Promise.race([work(), late]);
  } finally {
    clearTimeout(timer);
  }
}
