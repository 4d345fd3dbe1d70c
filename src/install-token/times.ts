/** How `iat` and `exp` are chosen and judged (docs/apple-facts.md §1.5, §10 lines 15 to 18). All times in seconds since 1970. */

/**
 * `iat` is this far before the moment of issuing: the device's clock is not ours, and no allowance for an `iat` in its
 * future is documented.
 */
export const IAT_MARGIN_SECONDS = 5;

/** `token verify` and the simulated device accept an `iat` this far in the future, and no `exp` in the past. */
export const FUTURE_TOLERANCE_SECONDS = 5;

/** The shortest lifetime that `WEBDIST_TOKEN_LIFETIME` accepts. */
export const MIN_LIFETIME_SECONDS = 60;

/**
 * The longest lifetime that `WEBDIST_TOKEN_LIFETIME` accepts. A token that lives longer gets a warning. Apple documents
 * no limit, and its example has 1200 s.
 */
export const MAX_LIFETIME_SECONDS = 3600;

/** A larger number is in milliseconds: seconds reach twelve digits in the year 5138, milliseconds did in 1973. */
const MILLISECONDS_FROM = 1e11;

/** What is wrong with the form of a time: not whole seconds since 1970, or milliseconds. Undefined if it is right. */
export function wrongFormOf(value: unknown): 'not-seconds' | 'milliseconds' | undefined {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) return 'not-seconds';
  return value >= MILLISECONDS_FROM ? 'milliseconds' : undefined;
}

/** How many whole seconds `iat` is in the future, beyond the tolerance; 0 if it is not. */
export function secondsInFuture(iat: number, nowSeconds: number): number {
  const ahead = iat - Math.floor(nowSeconds);
  return ahead > FUTURE_TOLERANCE_SECONDS ? ahead : 0;
}

/** True at and after `exp`. */
export const isExpired = (exp: number, nowSeconds: number): boolean => exp <= nowSeconds;
