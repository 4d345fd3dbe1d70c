/** When the registration is checked next: jitter, back-off and Retry-After. */

import t from 'tap';
import { nextCheckSeconds } from '../../src/registration/next-check.ts';

const table: [
  name: string,
  intervalSeconds: number,
  failures: number,
  retryAfter: number | undefined,
  [number, number],
][] = [
  ['all is well', 300, 0, undefined, [240, 360]],
  ['all is well: Retry-After of an earlier failure does not matter', 300, 0, 500, [240, 360]],
  ['the first failure', 300, 1, undefined, [0.5, 1]],
  ['the fourth', 300, 4, undefined, [4, 8]],
  ['at most a minute', 300, 10, undefined, [30, 60]],
  ['never longer than the interval', 20, 10, undefined, [10, 20]],
  ['in the end, the interval', 300, 21, undefined, [150, 300]],
  ['not before Retry-After', 300, 1, 120, [120, 144]],
  ['a Retry-After that is too long', 300, 1, 7200, [600, 720]],
  ['the back-off is longer than Retry-After', 300, 21, 10, [150, 300]],
];

for (const [name, intervalSeconds, failures, retryAfterSeconds, [least, most]] of table) {
  const at = (random: number) =>
    nextCheckSeconds({ intervalSeconds, failures, retryAfterSeconds, random: () => random });
  t.equal(at(0), least, name);
  t.equal(Math.round(at(1) * 1e6) / 1e6, most, name);
}
