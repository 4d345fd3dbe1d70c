/** What was made last is remembered, and nothing else. */

import t from 'tap';
import { latest } from '../src/latest.ts';

t.test('made anew for another input only', async (t) => {
  const made: string[] = [];
  const upper = latest((text: string) => {
    made.push(text);
    return text.toUpperCase();
  });
  t.strictSame(['a', 'a', 'b', 'b', 'a'].map(upper), ['A', 'A', 'B', 'B', 'A']);
  t.strictSame(made, ['a', 'b', 'a']);
});

t.test('an output of undefined is remembered, too', async (t) => {
  let times = 0;
  const nothing = latest((_input: number) => {
    times += 1;
  });
  nothing(Number.NaN);
  nothing(Number.NaN);
  t.equal(times, 1);
});
