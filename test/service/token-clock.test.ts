import t from 'tap';
import { tokenClock } from '../../src/service/token-clock.ts';

/** Apple's clock minus this machine's, in seconds; what is added to the machine's clock, in milliseconds. */
const table: [number | undefined, number][] = [
  [undefined, 0],
  [0, 0],
  // Too little to be measured.
  [-2, 0],
  [-2.5, -2500],
  [-600, -600_000],
  // A clock that is behind dates tokens into the past, which is harmless.
  [600, 0],
];

for (const [clockOffsetSeconds, correction] of table)
  t.equal(
    tokenClock({ clockOffsetSeconds }, () => 1_795_000_000_000)(),
    1_795_000_000_000 + correction,
    `Apple's clock is ${clockOffsetSeconds} s ahead`,
  );
