/** Learns from responses of App Store Connect: Apple's clock, and the rate limit of the API key. */

import type { Logger } from 'pino';
import { CLOCK_TOLERANCE_SECONDS } from './classify.ts';

/** The last `X-Rate-Limit` (docs/apple-facts.md §4.10): requests of this API key in a rolling hour. */
export type RateLimit = { readonly limit: number; readonly remaining: number };

export interface Observations {
  /**
   * Apple's clock minus this machine's, in whole seconds: the median of the last responses. Undefined before the first
   * response, and while only one response differs by more than `CLOCK_TOLERANCE_SECONDS`, because a proxy may have
   * changed its `Date`. When this machine's clock is set, the offset is corrected at once.
   */
  readonly clockOffsetSeconds: number | undefined;
  /** The same offset, from the last response alone. */
  readonly lastClockOffsetSeconds: number | undefined;
  readonly rateLimit: RateLimit | undefined;
  /** The clock for API tokens: this machine's, or Apple's after Apple refused a token. Seconds since 1970. */
  nowSeconds(): number;
  record(response: Pick<Response, 'status' | 'headers'>): void;
}

/** The number of responses that are compared. Two outliers do not change the median. */
const RESPONSES = 5;

/**
 * `now` is this machine's clock in milliseconds since 1970; `timeOriginMs` changes by the same amount when that clock is set.
 * Logs once when the clocks begin to differ.
 */
export function openObservations(now: () => number, log: Logger, timeOriginMs: () => number): Observations {
  let measured: { readonly offset: number; readonly originMs: number }[] = [];
  let refusedOffsetSeconds = 0;
  let rateLimit: RateLimit | undefined;
  let wasOff = false;
  /** This machine's clock may have been set since an offset was measured. */
  const current = () => {
    const originMs = timeOriginMs();
    return measured.map((one) => Math.round(one.offset - (originMs - one.originMs) / 1000) || 0);
  };
  return {
    get clockOffsetSeconds() {
      return medianOffset(current());
    },
    get lastClockOffsetSeconds() {
      return current().at(-1);
    },
    get rateLimit() {
      return rateLimit;
    },
    nowSeconds: () => now() / 1000 + refusedOffsetSeconds,
    record({ status, headers }) {
      rateLimit = rateLimitOf(headers) ?? rateLimit;
      const appleTimeMs = sentAtMs(headers);
      if (Number.isNaN(appleTimeMs)) return;
      // Rounded up, because `Date` omits fractions of a second.
      const offset = Math.ceil((appleTimeMs - now()) / 1000) || 0;
      measured = [...measured, { offset, originMs: timeOriginMs() }].slice(-RESPONSES);
      // If a token dated by Apple's clock is refused too, the clock is not the reason, or a proxy changes `Date`.
      if (status === 401) refusedOffsetSeconds = isFar(offset - refusedOffsetSeconds) ? offset : 0;
      const clockOffsetSeconds = medianOffset(current()) ?? 0;
      const isOff = isFar(clockOffsetSeconds);
      if (isOff && !wasOff)
        log.warn({ event: 'asc_clock_differs', clockOffsetSeconds }, "App Store Connect's clock differs");
      wasOff = isOff;
    },
  };
}

/**
 * When the response passed through its last cache: its `Date`, in one of the three forms of RFC 9110 §5.6.7, and its `Age`
 * (RFC 9111 §4.2.3). NaN if the date is in no such form, because `Date.parse` reads nearly anything as a date.
 */
function sentAtMs(headers: Headers): number {
  const date = headers.get('date') ?? '';
  const age = /^\d{1,9}$/.exec(headers.get('age') ?? '')?.[0] ?? 0;
  // The form of asctime has no time zone, and means UTC.
  const text = /^\w{3} \w{3} [ \d]\d [\d:]{8} \d{4}$/.test(date) ? `${date} GMT` : date;
  if (!/^\w{3,9},? .* GMT$/.test(text)) return Number.NaN;
  // `Date.parse` reads second 60, a leap second, as second 0 of the same minute.
  return Date.parse(text.replace(/:60(?= )/, ':59')) + Number(age) * 1000;
}

const isFar = (seconds: number) => Math.abs(seconds) > CLOCK_TOLERANCE_SECONDS;

/** The median. For an even number of offsets, it is the one of the middle two that is closer to 0. */
function medianOffset(offsets: readonly number[]): number | undefined {
  const sorted = offsets.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined || (offsets.length === 1 && isFar(low))) return undefined;
  return Math.abs(low) < Math.abs(high) ? low : high;
}

function rateLimitOf(headers: Headers): RateLimit | undefined {
  const text = headers.get('x-rate-limit') ?? '';
  const limit = /user-hour-lim:(\d+)/.exec(text)?.[1];
  const remaining = /user-hour-rem:(\d+)/.exec(text)?.[1];
  return limit && remaining ? { limit: Number(limit), remaining: Number(remaining) } : undefined;
}
