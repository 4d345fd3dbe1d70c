/**
 * True for an AppleItemID or AppleVersionID: a decimal string without leading zeros that fits in 64 bits
 * (docs/apple-facts.md §1.3). Never a number: JSON numbers lose precision.
 */
export const isAppleId = (value: unknown): value is string =>
  typeof value === 'string' && /^[1-9]\d{0,19}$/.test(value) && BigInt(value) < 2n ** 64n;
