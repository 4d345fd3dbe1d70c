/**
 * The clock that dates tokens and the evidence of their use. It also decides whether the clock is accurate enough to
 * sign.
 */

import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { IAT_MARGIN_SECONDS } from '../install-token/times.ts';
import { formatSeconds } from '../install-token/verify/duration.ts';

/** By this machine's clock, `iat` is never further in the past than this. */
const MAX_BACKDATING_SECONDS = 60;

/**
 * This machine's clock is corrected if it is further ahead of Apple's than this. A smaller difference cannot be
 * measured.
 */
const TOLERANCE_SECONDS = 2;

export interface TokenClock {
  /**
   * Returns milliseconds since 1970. If this machine's clock is ahead of Apple's, the difference is subtracted, within
   * the limit of `iat`, because a device may refuse a token from the future.
   */
  now(): number;
  /**
   * The error `clock_off` while the clocks differ by more than can be corrected. A token might otherwise expire before
   * it is used.
   */
  readonly problem: WebdistError | undefined;
}

type Deps = {
  /** Apple's clock minus this machine's, in seconds; undefined while it is unknown. */
  readonly keys: { readonly clockOffsetSeconds: number | undefined };
  /** This machine's clock: milliseconds since 1970. */
  readonly now: () => number;
  readonly lifetimeSeconds: number;
  readonly log: Logger;
};

/** Logs once when the problem begins, and once when it ends. */
export function openTokenClock({ keys, now, lifetimeSeconds, log }: Deps): TokenClock {
  // At least half of the lifetime must be left, whichever of the two clocks is right.
  const maxOffsetSeconds = Math.min(MAX_BACKDATING_SECONDS, lifetimeSeconds / 2);
  let wasOff = false;
  return {
    now() {
      const aheadSeconds = -(keys.clockOffsetSeconds ?? 0);
      if (aheadSeconds <= TOLERANCE_SECONDS || aheadSeconds > maxOffsetSeconds) return now();
      return now() - Math.min(aheadSeconds, MAX_BACKDATING_SECONDS - IAT_MARGIN_SECONDS) * 1000;
    },
    get problem() {
      const offsetSeconds = keys.clockOffsetSeconds ?? 0;
      const isOff = Math.abs(offsetSeconds) > maxOffsetSeconds;
      const problem = isOff ? clockOff(offsetSeconds) : undefined;
      if (problem && !wasOff) log.error({ event: 'clock_off', clockOffsetSeconds: offsetSeconds }, problem.message);
      if (!problem && wasOff) log.info({ event: 'clock_ok' }, 'the clock agrees again; tokens are signed');
      wasOff = isOff;
      return problem;
    },
  };
}

function clockOff(offsetSeconds: number): WebdistError {
  const difference = `${formatSeconds(Math.abs(offsetSeconds))} ${offsetSeconds < 0 ? 'ahead of' : 'behind'}`;
  return new WebdistError(
    'clock_off',
    `This machine's clock is ${difference} App Store Connect's, so devices might refuse every token.`,
    {
      hint: 'Turn on NTP. If the clock is right, a proxy changes the Date of the responses; check ASC_BASE_URL and the proxy.',
      retryAfterSeconds: 60,
    },
  );
}
