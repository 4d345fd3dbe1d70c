/** A process notices that it was suspended. */

import t from 'tap';
import { countSuspensions } from '../src/suspensions.ts';

for (const [what, times, expected] of [
  ['called often', [100, 1000, 1900, 2900], 0],
  ['called after exactly the longest time', [1000, 2000], 0],
  ['suspended once', [100, 5000, 5100], 1],
  ['suspended before the first call', [1001], 1],
  ['suspended twice', [1500, 1600, 9000], 2],
] as const)
  t.test(what, async (t) => {
    let ms = 0;
    const suspensions = countSuspensions(() => ms, 1000);
    let count = 0;
    for (const at of times) {
      ms = at;
      count = suspensions();
    }
    t.equal(count, expected);
  });
