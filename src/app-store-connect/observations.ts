/** What responses of App Store Connect show besides their data: Apple's clock, and the rate limit of the API key. */

import type { Logger } from 'pino';
import { CLOCK_TOLERANCE_SECONDS } from './classify.ts';

/** The last `X-Rate-Limit` (docs/apple-facts.md §4.10): requests of this API key in a rolling hour. */
export type RateLimit = { readonly limit: number; readonly remaining: number };

export interface Observations {
  /** Apple's clock minus this machine's, in whole seconds; undefined before the first response. */
  readonly clockOffsetSeconds: number | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** Apple's clock as far as it is known, else this machine's: seconds since 1970. */
  nowSeconds(): number;
  record(headers: Headers): void;
}

/** Takes this machine's clock in milliseconds since 1970. Logs once when Apple's clock begins to differ. */
export function openObservations(now: () => number, log: Logger): Observations {
  let clockOffsetSeconds: number | undefined;
  let rateLimit: RateLimit | undefined;
  const isOff = (seconds = 0) => Math.abs(seconds) > CLOCK_TOLERANCE_SECONDS;
  return {
    get clockOffsetSeconds() {
      return clockOffsetSeconds;
    },
    get rateLimit() {
      return rateLimit;
    },
    nowSeconds: () => now() / 1000 + (clockOffsetSeconds ?? 0),
    record(headers) {
      rateLimit = rateLimitOf(headers) ?? rateLimit;
      const appleTimeMs = Date.parse(headers.get('date') ?? '');
      if (Number.isNaN(appleTimeMs)) return;
      const before = clockOffsetSeconds;
      clockOffsetSeconds = Math.round((appleTimeMs - now()) / 1000);
      if (isOff(clockOffsetSeconds) && !isOff(before))
        log.warn({ event: 'asc_clock_differs', clockOffsetSeconds }, "App Store Connect's clock differs");
    },
  };
}

function rateLimitOf(headers: Headers): RateLimit | undefined {
  const text = headers.get('x-rate-limit') ?? '';
  const limit = /user-hour-lim:(\d+)/.exec(text)?.[1];
  const remaining = /user-hour-rem:(\d+)/.exec(text)?.[1];
  return limit && remaining ? { limit: Number(limit), remaining: Number(remaining) } : undefined;
}
