/** Responses that are held back: when they are sent, in what order, and how many at most. */

import type { ServerResponse } from 'node:http';
import t from 'tap';
import { openHeld } from '../../../src/http/limits/held.ts';
import { until } from '../../harness/until.ts';

const responses = (count: number) => Array.from({ length: count }, () => ({}) as ServerResponse);

t.test('each is sent once, not before three quarters of the time, and not all together', async (t) => {
  const sent = new Map<ServerResponse, number>();
  const began = performance.now();
  const held = openHeld(400, (response) => sent.set(response, performance.now() - began));
  const all = responses(200);
  for (const response of all) held.add(response);
  await until(() => sent.size === all.length, 'all responses');
  const afterMs = [...sent.values()];
  t.ok(Math.min(...afterMs) >= 280, `the first after ${Math.min(...afterMs)} ms`);
  t.ok(new Set(afterMs.map((ms) => Math.floor(ms / 10))).size > 3, 'a few at a time');
});

for (const { name, maxMs, added, sentAtOnce } of [
  { name: 'a few', maxMs: 60_000, added: 3, sentAtOnce: 0 },
  { name: 'as many as can be held', maxMs: 60_000, added: 8000, sentAtOnce: 0 },
  { name: 'more than can be held', maxMs: 60_000, added: 8010, sentAtOnce: 10 },
  { name: 'no time to hold them', maxMs: 0, added: 3, sentAtOnce: 3 },
])
  t.test(`${name}: ${sentAtOnce} of ${added} are sent at once, and the others by \`close\``, async (t) => {
    let sent = 0;
    const held = openHeld(maxMs, () => {
      sent += 1;
    });
    for (const response of responses(added)) held.add(response);
    t.equal(sent, sentAtOnce);
    held.close();
    t.equal(sent, added);
    held.close();
    t.equal(sent, added, 'once');
  });
