/**
 * The form of AppleItemIDs and AppleVersionIDs (docs/apple-facts.md §1.3): decimal strings without leading zeros that fit in 64
 * bits. They are never numbers, because JSON numbers lose precision.
 */

const LARGEST = String(2n ** 64n - 1n);

/** One alternative for each digit of the largest number: the same digits before it, a smaller one here, any after it. */
const smaller = [...LARGEST].flatMap((digit, index) => {
  const least = index === 0 ? 1 : 0;
  const rest = LARGEST.length - index - 1;
  return Number(digit) > least ? [`${LARGEST.slice(0, index)}[${least}-${Number(digit) - 1}]\\d{${rest}}`] : [];
});

/** The exact form, which is also published as JSON Schema. */
export const APPLE_ID = new RegExp(`^(?:[1-9]\\d{0,${LARGEST.length - 2}}|${smaller.join('|')}|${LARGEST})$`);

export const isAppleId = (value: unknown): value is string => typeof value === 'string' && APPLE_ID.test(value);
