/** How `iat` and `exp` are chosen and judged (docs/apple-facts.md §1.5, §10 lines 15 to 18). All times in seconds since 1970. */

/**
 * `iat` is this far before the moment of issuing. A device's clock may be behind ours, and Apple documents no tolerance
 * for an `iat` in the future.
 */
export const IAT_MARGIN_SECONDS = 5;

/** `token verify` and the simulated device accept an `iat` this far in the future. They accept no `exp` in the past. */
export const FUTURE_TOLERANCE_SECONDS = 5;

/** The shortest lifetime that `WEBDIST_TOKEN_LIFETIME` accepts. */
export const MIN_LIFETIME_SECONDS = 60;

/**
 * The longest lifetime that `WEBDIST_TOKEN_LIFETIME` accepts. A token that lives longer gets a warning. Apple documents
 * no limit, and its example has 1200 s.
 */
export const MAX_LIFETIME_SECONDS = 3600;

/**
 * A number from here on is in milliseconds. Seconds reach twelve digits in the year 5138; milliseconds reached them in
 * 1973.
 */
const MILLISECONDS_FROM = 1e11;

/**
 * Returns what is wrong with the form of a time: it is not whole seconds since 1970, or it is in milliseconds.
 * Undefined if it is right.
 */
export function wrongFormOf(value: unknown): 'not-seconds' | 'milliseconds' | undefined {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) return 'not-seconds';
  return value >= MILLISECONDS_FROM ? 'milliseconds' : undefined;
}

/** Returns how many whole seconds `iat` is in the future, or 0 if that is within the tolerance. */
export function secondsInFuture(iat: number, nowSeconds: number): number {
  const ahead = iat - Math.floor(nowSeconds);
  return ahead > FUTURE_TOLERANCE_SECONDS ? ahead : 0;
}

/** True at and after `exp`. */
export const isExpired = (exp: number, nowSeconds: number): boolean => exp <= nowSeconds;
