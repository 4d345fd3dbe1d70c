/**
 * The form of AppleItemIDs and AppleVersionIDs (docs/apple-facts.md §1.3): decimal strings without leading zeros that fit in 64
 * bits. They are never numbers, because JSON numbers lose precision.
 */

/** The form only, for schemas that are published as JSON Schema. It does not limit the number to 64 bits. */
export const APPLE_ID = /^[1-9]\d{0,19}$/;

export const isAppleId = (value: unknown): value is string =>
  typeof value === 'string' && APPLE_ID.test(value) && BigInt(value) < 2n ** 64n;
