/** The times that `token verify` and the simulated device accept, at each limit. */

import t from 'tap';
import {
  FUTURE_TOLERANCE_SECONDS,
  IAT_MARGIN_SECONDS,
  isExpired,
  secondsInFuture,
  wrongFormOf,
} from '../../src/install-token/times.ts';
import { claimChecks } from '../../src/install-token/verify/claims.ts';

const NOW = 1_790_000_000;
const END = NOW + 1200;

t.ok(IAT_MARGIN_SECONDS > 0 && IAT_MARGIN_SECONDS <= 60);

/** `iat`, `exp`, and whether they are accepted at `NOW`. */
const table: [what: string, iat: unknown, exp: unknown, accepted: boolean][] = [
  ['our own token', NOW - IAT_MARGIN_SECONDS, END, true],
  ['issued now', NOW, END, true],
  ['as far in the future as is tolerated', NOW + FUTURE_TOLERANCE_SECONDS, END, true],
  ['one second further', NOW + FUTURE_TOLERANCE_SECONDS + 1, END, false],
  ['what the device alone once tolerated', NOW + 30, END, false],
  ['a day in the future', NOW + 86_400, NOW + 90_000, false],
  ['the last second', NOW - 1200, NOW + 1, true],
  ['ends now', NOW - 1200, NOW, false],
  ['expired', NOW - 1200, NOW - 1, false],
  ['exp at iat', NOW + 3, NOW + 3, false],
  ['exp before iat', NOW + 3, NOW + 2, false],
  ['negative', -1, END, false],
  ['a fraction', NOW - 0.5, END, false],
  ['exp with a fraction', NOW, END + 0.5, false],
  ['text', String(NOW), END, false],
  ['milliseconds of 2026', NOW * 1000, END * 1000, false],
  ['milliseconds of 1974', 130_000_000_000, END, false],
  ['exp in milliseconds', NOW, END * 1000, false],
  ['no iat', undefined, END, false],
  ['no exp', NOW, undefined, false],
];

const known = { keys: [], apps: [], nowSeconds: NOW };

for (const [what, iat, exp, accepted] of table) {
  const claims = { iat, ...(exp !== undefined && { exp }) };
  const found = claimChecks.flatMap((check) => check(claims, known, {}) ?? []);
  const failed = found.filter(({ name, result }) => ['iat', 'exp'].includes(name) && result === 'fail');
  t.equal(failed.length === 0, accepted, what);
}

t.strictSame([NOW, 0, -1, 1.5, '1', null, NOW * 1000].map(wrongFormOf), [
  undefined,
  undefined,
  'not-seconds',
  'not-seconds',
  'not-seconds',
  'not-seconds',
  'milliseconds',
]);
t.equal(secondsInFuture(NOW + 60, NOW + 0.9), 60, 'a started second has not passed');
t.equal(isExpired(NOW, NOW - 0.1), false);
