/** Turns: one contract for both stores, and what the file's clock may do. */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openPostgresDatabase } from '../../src/ledger/postgres-database.ts';
import { openFileRegistrationStore } from '../../src/registration/store-file.ts';
import { mayTakeTurn, TURN_MS, type TurnRecord, type Turns } from '../../src/registration/turns.ts';
import { postgresTurns } from '../../src/registration/turns-postgres.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';

async function contract(t: Test, open: () => Promise<Turns>) {
  const [first, second] = [await open(), await open()];
  const one = { configuration: 'c', replica: 'one', wantedForSeconds: undefined, knownId: undefined };
  const two = { ...one, replica: 'two' };
  const findings = { id: 'f1', text: '{}' };

  t.match(await first.takeTurn(one), { isMine: true, last: undefined }, 'the first one has it');
  t.match(
    await second.takeTurn({ ...two, wantedForSeconds: 0 }),
    { isMine: false },
    'while it checks, no other has it',
  );
  t.match(await second.takeTurn({ ...two, configuration: 'd' }), { isMine: true }, 'another configuration is separate');
  await first.keepTurn(one);
  await second.endTurn({ ...two, nextInSeconds: 0, failures: 9, findings });
  t.match(await second.takeTurn(two), { isMine: false, last: undefined }, 'only its replica can end it');

  await first.endTurn({ ...one, nextInSeconds: 300, failures: 2, findings });
  const { last, ...turn } = await second.takeTurn(two);
  t.match(turn, { isMine: false }, 'no check is due');
  t.match(last, { failures: 2, findings });
  t.ok(last && last.beganSecondsAgo >= 0 && last.beganSecondsAgo < 60 && last.nextInSeconds > 200);
  t.match(
    (await second.takeTurn({ ...two, knownId: 'f1' })).last,
    { findings: undefined },
    'known findings are left out',
  );
  t.match(
    await second.takeTurn({ ...two, wantedForSeconds: 1000 }),
    { isMine: false },
    'wanted before that check began',
  );
  t.match(await second.takeTurn({ ...two, wantedForSeconds: 0 }), { isMine: true }, 'wanted after it began');
  await second.dropTurn(two);
  t.match(await first.takeTurn({ ...one, wantedForSeconds: 0 }), { isMine: true, last: { findings } }, 'given up');
  await first.endTurn({ ...one, nextInSeconds: 0, failures: 0, findings: { id: 'f2', text: '[]' } });
  t.match(await second.takeTurn(two), { isMine: true, last: { findings: { id: 'f2' } } }, 'due at once');
  t.ok(Math.abs((await first.takeTurn(one)).storeOffsetSeconds ?? 0) < 60);
}

t.test('in a file', async (t) => {
  const folder = join(temporaryFolder(t), 'new');
  await contract(t, async () => openFileRegistrationStore(folder));
});

t.test('in PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const url = await server.freshUrl();
  await contract(t, async () => {
    const database = await openPostgresDatabase({ url });
    t.teardown(() => database.close());
    return postgresTurns(database, Date.now);
  });
  const database = await openPostgresDatabase({ url });
  t.teardown(() => database.close());
  const request = { configuration: 'z', replica: 'one', wantedForSeconds: undefined, knownId: undefined };
  const fast = await postgresTurns(database, () => Date.now() + 600_000).takeTurn(request);
  t.ok(
    Math.abs((fast.storeOffsetSeconds ?? 0) + 600) < 60,
    `a clock that is ten minutes ahead: ${fast.storeOffsetSeconds}`,
  );
});

const NOW = 1_764_151_200_000;
const DAY = 24 * 60 * 60 * 1000;
const record = (more: Partial<TurnRecord>): TurnRecord => ({ replica: 'one', heldUntil: 0, beganAt: NOW, ...more });
const last = (endedAt: number) => ({ beganAt: endedAt, endedAt, nextInSeconds: 300, failures: 0 });
const table: [name: string, TurnRecord | undefined, wantedForSeconds: number | undefined, boolean][] = [
  ['nothing is stored', undefined, undefined, true],
  ['held', record({ heldUntil: NOW + TURN_MS }), undefined, false],
  ['its replica died', record({ heldUntil: NOW - 1 }), undefined, true],
  ['held, but the clock was set back a day', record({ heldUntil: NOW + DAY }), undefined, true],
  ['not due', record({ last: last(NOW - 299_000) }), undefined, false],
  ['due', record({ last: last(NOW - 300_000) }), undefined, true],
  ['the clock was set back by 400 days', record({ last: last(NOW + 400 * DAY) }), undefined, true],
  ['the clock was set forward by 400 days', record({ last: last(NOW - 400 * DAY) }), undefined, true],
  ['wanted, after a check began', record({ last: last(NOW - 5000) }), 4, true],
  ['wanted, before it began', record({ last: last(NOW - 5000) }), 6, false],
];
for (const [name, stored, wantedForSeconds, expected] of table)
  t.equal(mayTakeTurn(stored, wantedForSeconds, NOW), expected, name);
