/**
 * The registration store shared by replicas: the newest report wins, and without the database each replica uses its own.
 */

import { join } from 'node:path';
import t from 'tap';
import { openLog } from '../../src/log.ts';
import type { RegisteredKey } from '../../src/registration/state.ts';
import { openRegistrationStore } from '../../src/registration/store.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';

const APPS = ['6500000001', '6500000002'];
const keyOf = (keyId: string, minute: number): RegisteredKey => ({
  keyId,
  spki: 'c3BraQ==',
  seenAt: `2025-11-21T10:${String(minute).padStart(2, '0')}:00.000Z`,
});

t.test('shared store', { skip: noPostgres }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  const url = await server.freshUrl();
  const folder = test.testdir();
  const replica = async (name: string, apps = APPS) => {
    const config = {
      dataDir: join(folder, name),
      apps: apps.map((appleItemId) => ({ appleItemId, bundleId: 'com.example.app', key: [] })),
      ledger: { url, secret: undefined, whenDown: 'issue', evidence: 'tap', retentionDays: 0 },
    } as unknown as Parameters<typeof openRegistrationStore>[0];
    return openRegistrationStore(config, openLog('silent'));
  };
  const [one, two, other] = [await replica('one'), await replica('two'), await replica('other', ['6500000009'])];
  test.teardown(() => Promise.all([one.close(), two.close(), other.close()]));
  test.strictSame(await one.load(), {});

  await one.save({ '6500000001': keyOf('a', 1) });
  test.strictSame(await two.load(), { '6500000001': keyOf('a', 1) }, 'a replica with an empty disk knows it');
  await two.save({ '6500000001': keyOf('b', 2) });
  await one.save({ '6500000001': keyOf('a', 1) });
  test.strictSame(await one.load(), { '6500000001': keyOf('b', 2) }, 'the newer report stays');

  await other.save({ '6500000009': keyOf('z', 3) });
  await one.save({});
  test.strictSame(
    await two.load(),
    { '6500000001': keyOf('b', 2), '6500000009': keyOf('z', 3) },
    'its own file, and the key of another service',
  );
  const fresh = await replica('fresh');
  test.teardown(() => fresh.close());
  test.strictSame(
    await fresh.load(),
    { '6500000009': keyOf('z', 3) },
    'a key that is no longer registered is removed for all',
  );

  await one.addEverRegistered(['6500000001']);
  await two.addEverRegistered(['6500000001', 'shop.example.com']);
  await one.save({});
  test.strictSame(
    [...(await fresh.everRegistered())].sort(),
    ['6500000001', 'shop.example.com'],
    'what was ever registered is known to all, and is not forgotten',
  );

  server.stop('fast');
  await test.rejects(fresh.everRegistered(), { code: 'ledger_unavailable' }, 'without the database it is not known');
  const alone = await replica('two');
  test.teardown(() => alone.close());
  test.strictSame(await alone.load(), { '6500000001': keyOf('b', 2) }, 'without the database: its own file');
  await alone.save({ '6500000001': keyOf('c', 4) });
  test.strictSame(await alone.load(), { '6500000001': keyOf('c', 4) });
  server.start();
});
