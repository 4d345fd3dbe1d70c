/**
 * The time by which the rule decides. It never goes back when the clock is set back, so that a `dtype` does not revert.
 */

/** If the clock goes back by more than this, it was wrong before, and its new time is used. */
const MOST_SECONDS_BACK = 60 * 60;

/** Returns a function that takes a time in seconds since 1970, and returns it, or the latest one if the clock went back. */
export function steadySeconds(): (nowSeconds: number) => number {
  let latest = Number.NEGATIVE_INFINITY;
  return (nowSeconds) => {
    if (nowSeconds > latest || nowSeconds < latest - MOST_SECONDS_BACK) latest = nowSeconds;
    return latest;
  };
}
