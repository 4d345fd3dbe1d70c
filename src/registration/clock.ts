/** Time and random numbers, passed in so that a simulation can replace them. */

import { setTimeout as delay } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since 1970; can be set back. */
  now(): number;
  /** Milliseconds that only go forward, for durations. */
  elapsed(): number;
  /**
   * The time of the machine's clock when `elapsed` was 0, in milliseconds since 1970. If that clock is set, this changes
   * by the same amount.
   */
  timeOriginMs(): number;
  /** Returns a number from 0 up to, but not including, 1. */
  random(): number;
  /**
   * Calls back once, after some milliseconds. Returns the function that cancels this. Does not keep the process
   * running.
   */
  after(ms: number, callback: () => void): () => void;
  /** Resolves after some milliseconds; keeps the process running. */
  sleep(ms: number): Promise<void>;
}

export const systemClock: Clock = {
  now: Date.now,
  elapsed: () => performance.now(),
  timeOriginMs: () => Date.now() - performance.now(),
  random: Math.random,
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
  sleep: (ms) => delay(ms),
};
