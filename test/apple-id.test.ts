/** Ids of Apple: decimal numbers of 64 bits, as text. */

import t from 'tap';
import { APPLE_ID, isAppleId } from '../src/apple-id.ts';

const LARGEST = 2n ** 64n - 1n;

t.test('the published form is exact around every digit', async (t) => {
  const numbers = [1n, 9n, 10n, 6_500_000_001n, 10n ** 18n, 10n ** 19n, 10n ** 20n, LARGEST];
  for (let power = 1n; power <= 10n ** 20n; power *= 10n) numbers.push(power, LARGEST - power, LARGEST + power);
  for (const number of numbers.flatMap((one) => [one - 1n, one, one + 1n]))
    t.equal(APPLE_ID.test(String(number)), number > 0n && number <= LARGEST, String(number));
  for (const text of [
    '',
    '0',
    '01',
    '-1',
    '+1',
    '1.0',
    '1e3',
    ' 1',
    '1\n',
    '１',
    '18446744073709551616',
    '75462560866824500046',
  ])
    t.notOk(isAppleId(text), JSON.stringify(text));
  t.notOk(isAppleId(1));
});
