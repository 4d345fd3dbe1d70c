/**
 * Deletes installs that are older than the retention. A wrong clock must not empty the ledger: nothing is deleted unless a
 * second clock agrees with this machine's, and never more in an hour than a few times as many as normally become due.
 */

import type { Logger } from 'pino';
import type { Ledger } from '../ledger/contract.ts';

/** The largest difference between two clocks that agree. */
const AGREEMENT_SECONDS = 60;

/**
 * In an hour, at most this many times as many installs are deleted as become due in an hour if installs are spread
 * evenly.
 */
const TIMES_DUE = 4;
/** The smallest bound, so that a small ledger is pruned too. */
const LEAST_AT_ONCE = 10;

const HOUR_MS = 60 * 60 * 1000;
/** By then, App Store Connect has usually answered, so that its clock is known. */
const FIRST_MS = 60 * 1000;
const DAY_SECONDS = 86_400;

export type PruningDeps = {
  readonly ledger: Pick<Ledger, 'prune' | 'stats'>;
  readonly retentionDays: number;
  /** This machine's clock, in milliseconds since 1970. */
  readonly now: () => number;
  /** How far each other clock is ahead of this machine's, in seconds; undefined while that is unknown. */
  readonly otherClocks: () => Promise<readonly (number | undefined)[]>;
  readonly log: Logger;
};

/** Deletes once, if the clocks agree; returns how many installs it deleted. Throws `ledger_unavailable`. */
export async function pruneOnce({ ledger, retentionDays, now, otherClocks, log }: PruningDeps): Promise<number> {
  const offsets = (await otherClocks()).filter((offset) => offset !== undefined);
  if (offsets.length === 0 || offsets.some((offset) => Math.abs(offset) > AGREEMENT_SECONDS)) {
    log.warn(
      { event: 'ledger_not_pruned', clockOffsetsSeconds: offsets },
      'old installs are not deleted until a second clock agrees with this machine',
    );
    return 0;
  }
  const { installs } = await ledger.stats();
  const dueInHour = installs / (24 * retentionDays);
  const atMost = Math.max(LEAST_AT_ONCE, Math.ceil(TIMES_DUE * dueInHour));
  const pruned = await ledger.prune(Math.floor(now() / 1000) - retentionDays * DAY_SECONDS, atMost);
  if (pruned > 0) log.info({ event: 'ledger_pruned', installs: pruned, of: installs }, 'deleted old installs');
  return pruned;
}

/** Prunes soon and then every hour; 0 days keep installs for ever. Returns the function that stops it. */
export function startPruning(deps: PruningDeps): () => void {
  if (deps.retentionDays === 0) return () => undefined;
  const prune = () =>
    void pruneOnce(deps).catch((err) =>
      deps.log.warn({ event: 'ledger_not_pruned', err }, 'old installs could not be deleted; tried again in an hour'),
    );
  const first = setTimeout(prune, FIRST_MS).unref();
  const hourly = setInterval(prune, HOUR_MS).unref();
  return () => {
    clearTimeout(first);
    clearInterval(hourly);
  };
}
