/** The clock by which tokens, and the evidence of their use, are dated. */

/** How far this machine's clock may be ahead of Apple's before it is corrected: less cannot be measured. */
const TOLERANCE_SECONDS = 2;

/**
 * Returns a clock in milliseconds since 1970 that is set back by as much as this machine's is ahead of Apple's: a token
 * dated into the future is refused by devices, and dating back is harmless.
 */
export const tokenClock =
  (keys: { readonly clockOffsetSeconds: number | undefined }, now: () => number): (() => number) =>
  () => {
    const offsetSeconds = keys.clockOffsetSeconds ?? 0;
    return offsetSeconds < -TOLERANCE_SECONDS ? now() + offsetSeconds * 1000 : now();
  };
