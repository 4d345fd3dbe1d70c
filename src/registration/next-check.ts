/** Decides when to check the registration next. */

/** After this many failures in a row (about a quarter of an hour), the cause is probably not temporary. */
const FAILURES_UNTIL_PATIENT = 20;

/** Apple's `Retry-After` is honoured up to this many seconds. */
const MAX_RETRY_AFTER_SECONDS = 600;

/**
 * Returns the seconds until the next check. Jitter keeps replicas from checking at the same moment. If all is well, it
 * is the interval ±20 %. After failures, it grows from one second up to a minute, and finally up to the interval,
 * because all replicas share Apple's hourly limit. It is never earlier than Apple's `Retry-After`. `random` returns a
 * number from 0 up to 1.
 */
export function nextCheckSeconds(check: {
  readonly intervalSeconds: number;
  /** The number of failed checks in a row. */
  readonly failures: number;
  readonly retryAfterSeconds: number | undefined;
  readonly random: () => number;
}): number {
  const { intervalSeconds, failures, retryAfterSeconds = 0, random } = check;
  if (failures === 0) return intervalSeconds * (0.8 + random() * 0.4);
  const longest = failures > FAILURES_UNTIL_PATIENT ? intervalSeconds : Math.min(60, intervalSeconds);
  const backoff = Math.min(longest, 2 ** Math.min(failures - 1, 16));
  const requested = Math.min(retryAfterSeconds, MAX_RETRY_AFTER_SECONDS);
  return Math.max(backoff * (0.5 + random() * 0.5), requested * (1 + random() * 0.2));
}
