/** An answer of PostgreSQL that is lost while the database is opened: the database is opened again after two seconds. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { openPostgresDatabase } from '../../src/ledger/postgres-database.ts';
import { noPostgres, sharedPostgres } from '../harness/postgres.ts';

/**
 * Relays connections to the database at `url`. On the first connection that sends `text`, nothing arrives at the client from
 * then on. Returns the URL of the relay.
 */
async function relayThatLoses(t: Test, url: string, text: string): Promise<string> {
  let isLost = false;
  const relay = createServer((client) => {
    const server = connect(Number(new URL(url).port), '127.0.0.1');
    let isMute = false;
    client.on('data', (data) => {
      if (!isLost && data.includes(text)) isLost = isMute = true;
      server.write(data);
    });
    server.on('data', (data) => !isMute && client.write(data));
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const)
      one.on('close', () => other.destroy()).on('error', () => other.destroy());
  });
  relay.listen(0, '127.0.0.1');
  await once(relay, 'listening');
  t.teardown(() => relay.close());
  return Object.assign(new URL(url), { port: (relay.address() as AddressInfo).port }).href;
}

t.test('lost answers', { skip: noPostgres }, async (t) => {
  const server = await sharedPostgres();
  t.jobs = 4;
  for (const [answer, text] of [
    ['to BEGIN', 'BEGIN'],
    ['about the schema', 'to_regclass'],
    ['about the version of the schema', 'SELECT coalesce(max(version)'],
  ] as const)
    t.test(`the answer ${answer}`, async (t) => {
      const url = await server.freshUrl();
      // Else it has no version.
      await (await openPostgresDatabase({ url })).close();
      const began = performance.now();
      const database = await openPostgresDatabase({ url: await relayThatLoses(t, url, text) });
      t.teardown(() => database.close());
      t.strictSame(await database.query('SELECT 1 AS answer'), [{ answer: 1 }]);
      const seconds = (performance.now() - began) / 1000;
      t.ok(seconds >= 1.9 && seconds < 10, `open after ${seconds.toFixed(1)} s, not after the 15 s of a migration`);
    });
});
