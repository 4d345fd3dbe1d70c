/** The clock by which tokens, and the evidence of their use, are dated; and whether it is right enough to sign at all. */

import type { Logger } from 'pino';
import { WebdistError } from '../errors.ts';
import { IAT_MARGIN_SECONDS } from '../install-token/times.ts';
import { formatSeconds } from '../install-token/verify/duration.ts';

/** `iat` is never further in the past than this, by this machine's clock. */
const MAX_BACKDATING_SECONDS = 60;

/** How far this machine's clock may be ahead of Apple's before it is corrected: less cannot be measured. */
const TOLERANCE_SECONDS = 2;

export interface TokenClock {
  /**
   * Milliseconds since 1970, set back by as much as this machine's clock is ahead of Apple's, within the limit of `iat`:
   * a device may refuse a token from the future.
   */
  now(): number;
  /** `clock_off` while the clocks differ by more than can be corrected; a token might be expired before it is used. */
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
  // Whichever of the two clocks is right, at least half of the lifetime is left.
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
      hint: 'Turn on NTP. If the clock is right, a proxy changes the Date of the responses: check ASC_BASE_URL and the proxy.',
      retryAfterSeconds: 60,
    },
  );
}
