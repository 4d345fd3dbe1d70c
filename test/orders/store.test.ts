/** Every order store keeps the same promises, and a service that follows one keeps its last orders when it cannot be read. */

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openLog } from '../../src/log.ts';
import { followOrders } from '../../src/orders/follow.ts';
import { NO_ORDERS, type Order } from '../../src/orders/orders.ts';
import { openOrderStore } from '../../src/orders/store.ts';
import type { OrderStore } from '../../src/orders/store-contract.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { noPostgres, openPostgresServer, sharedPostgres } from '../harness/postgres.ts';
import { until } from '../harness/until.ts';

const appleItemId = '6500000001';
const hold = (appleVersionId: string): Order => ({ act: 'hold', appleItemId, appleVersionId });
const stop: Order = { act: 'stop', appleItemId };
const reportOf = (id: string) => ({
  id,
  version: '1.0.0',
  startedAt: '2026-11-26T10:00:00.000Z',
  isReady: true,
  revision: 0,
  since: '2026-11-26T10:00:00.000Z',
  rotationRun: null,
  apple: { limit: 3500, remaining: 3400, checkedAt: null },
  apps: [{ appleItemId, bundleId: 'com.example.app', keyId: null, appleVersionId: null }],
});

async function contract(test: Test, open: () => Promise<OrderStore>) {
  const [one, two] = [await open(), await open()];
  test.teardown(() => Promise.all([one.close(), two.close()]));
  test.strictSame(await one.read(), NO_ORDERS, 'at first there are no orders');

  await Promise.all(Array.from({ length: 20 }, (_, index) => (index % 2 ? one : two).change(hold(String(index)))));
  const orders = await two.read();
  test.equal(orders.revision, 20, 'of twenty orders at once, none is lost');
  test.equal(new Set(orders.apps[appleItemId]?.held).size, 20);
  test.strictSame(await one.change(hold('7')), orders, 'an order that is in force changes nothing');

  test.strictSame(await one.replicas(), []);
  await one.report(reportOf('a'));
  await two.report(reportOf('b'));
  await two.report({ ...reportOf('b'), isReady: false });
  const replicas = (await one.replicas()).toSorted((left, right) => left.id.localeCompare(right.id));
  test.match(replicas, [
    { id: 'a', isReady: true },
    { id: 'b', isReady: false },
  ]);
  test.ok(replicas.every(({ silentSeconds }) => silentSeconds >= 0 && silentSeconds < 60));
  await one.leave('a');
  test.strictSame(
    (await two.replicas()).map(({ id }) => id),
    ['b'],
  );
}

t.test('the data folder', async (test) => {
  const dataDir = join(temporaryFolder(test), 'new');
  await contract(test, () => openOrderStore({ dataDir, ledger: { url: `sqlite://${dataDir}/ledger.sqlite` } }));
  for (const [text, message] of [
    ['{"revision":', /orders\.json is damaged.+Delete it, then repeat the orders/],
    ['{"revision":1}', /orders\.json is damaged/],
    ['', /orders\.json is damaged/],
  ] as const) {
    writeFileSync(join(dataDir, 'orders.json'), text);
    const store = await openOrderStore({ dataDir, ledger: { url: 'memory:' } });
    await test.rejects(store.read(), { code: 'state_invalid', message }, text);
    const following = followOrders({ store, log: openLog('silent'), now: Date.now });
    await test.rejects(following, { code: 'state_invalid', message }, 'no service starts without its orders');
  }
  rmSync(join(dataDir, 'orders.json'));
  mkdirSync(join(dataDir, 'orders.json'));
  const store = await openOrderStore({ dataDir, ledger: { url: 'memory:' } });
  await test.rejects(store.read(), { code: 'state_invalid', message: /cannot be read \(EISDIR\)/ });
  test.strictSame(
    readdirSync(dataDir).filter((name) => name.includes('.json.')),
    [],
    'no draft is left behind',
  );
});

t.test('PostgreSQL', { skip: noPostgres }, async (test) => {
  const { freshUrl } = await sharedPostgres();
  const url = await freshUrl();
  await contract(test, () => openOrderStore({ dataDir: temporaryFolder(test), ledger: { url } }));
});

t.test(
  'a busy store that misses some reads: tokens wait for the next read, and the orders stay readable',
  async (test) => {
    const file = await openOrderStore({ dataDir: temporaryFolder(test), ledger: { url: 'sqlite:///none' } });
    let reads = 0;
    let isBusy = false;
    const store: OrderStore = {
      ...file,
      async read() {
        reads++;
        if (isBusy) throw new Error('PostgreSQL does not answer in time.');
        return file.read();
      },
    };
    let ms = 0;
    const followed = await followOrders({ store, log: openLog('silent'), now: Date.now, elapsed: () => ms });
    test.teardown(() => followed.close());
    /** Lets some reads end at this time. */
    const pass = async (at: number) => {
      ms = at;
      const before = reads;
      await until(() => reads > before + 2, 'more reads');
    };
    isBusy = true;
    await file.change(stop);
    await pass(500);
    test.equal(followed.ensureFresh(), undefined, 'the last read is recent enough');
    await pass(2900);
    test.equal(followed.problem, undefined, 'missed reads are no outage');
    test.ok(followed.ensureFresh(), 'tokens wait for the next read');
    isBusy = false;
    await pass(2900);
    await followed.ensureFresh();
    test.ok(followed.of({ appleItemId }).isStopped, 'which has the order');
    isBusy = true;
    await pass(6000);
    test.ok(followed.problem, 'an outage');
    test.equal(followed.ensureFresh(), undefined, 'tokens no longer wait');
    // The process is suspended; meanwhile the outage ends, and there is another order.
    isBusy = false;
    await file.change({ act: 'start', appleItemId });
    ms = 60_000;
    const read = followed.ensureFresh();
    test.ok(read, 'the first token after a suspension waits');
    await read;
    test.notOk(followed.of({ appleItemId }).isStopped, 'for the other order');
  },
);

t.test(
  'while PostgreSQL is away, a service follows its last orders, also after a restart',
  { skip: noPostgres },
  async (test) => {
    const server = await openPostgresServer();
    test.teardown(() => server.close());
    const ledger = { url: await server.freshUrl() };
    const dataDir = temporaryFolder(test);
    const follow = async () =>
      followOrders({ store: await openOrderStore({ dataDir, ledger }), log: openLog('silent'), now: Date.now });
    const command = await openOrderStore({ dataDir: temporaryFolder(test), ledger });
    test.teardown(() => command.close());
    const first = await follow();
    await command.change(stop);
    await until(() => first.of({ appleItemId }).isStopped, 'the order is followed');
    server.stop('immediate');
    await until(() => first.problem !== undefined, 'the outage is noticed');
    await until(() => first.ensureFresh() === undefined, 'no request waits for a store that does not answer');
    test.ok(first.of({ appleItemId }).isStopped);
    await first.close();

    const second = await follow();
    test.teardown(() => second.close());
    test.ok(second.of({ appleItemId }).isStopped, 'a restart does not undo it');
    server.start();
    await until(() => second.problem === undefined, 'it can be read again');
    await command.change({ act: 'start', appleItemId });
    await until(() => !second.of({ appleItemId }).isStopped, 'the next order is followed');
  },
);
