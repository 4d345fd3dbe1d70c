/** What a replay of a refresh token costs, however often it is repeated, and however old the family is. */

import t from 'tap';
import { newFamily, nextInFamily } from '../../src/oauth/refresh-family.ts';
import { openUsedOnce } from '../../src/oauth/used-once.ts';

const NOW_SECONDS = 1_790_000_000;

for (const refreshes of [1, 10, 500])
  t.test(`a family of ${refreshes} refreshes`, async (t) => {
    const remember = openUsedOnce(undefined, () => NOW_SECONDS * 1000);
    let uses = 0;
    const usedOnce = (id: string, seconds: number) => {
      uses += 1;
      return remember(id, seconds);
    };
    const first = newFamily(NOW_SECONDS);
    const next = (family = first) => nextInFamily(family, NOW_SECONDS, usedOnce);
    let newest = first;
    for (let n = 0; n < refreshes; n++) newest = (await next(newest)) ?? newest;
    t.equal(uses, refreshes);
    for (let n = 0; n < 1000; n++) t.equal(await next(), undefined);
    t.ok(uses <= 2 * refreshes + 2 * 1000 + 2, `${uses} uses are remembered`);
    t.equal(await next(newest), undefined, 'the newest token is not valid after the end of its family');
  });

t.test('a token that two send at once is used once, and ends the family', async (t) => {
  const usedOnce = openUsedOnce(undefined, () => NOW_SECONDS * 1000);
  const first = newFamily(NOW_SECONDS);
  const all = await Promise.all(Array.from({ length: 20 }, () => nextInFamily(first, NOW_SECONDS, usedOnce)));
  const [winner, ...others] = all.filter((one) => one !== undefined);
  t.equal(others.length, 0);
  t.equal(winner && (await nextInFamily(winner, NOW_SECONDS, usedOnce)), undefined);
});
