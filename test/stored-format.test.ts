/**
 * A downgrade is refused in one sentence for every kind of stored data: each store gets the number of a newer format, and
 * is not changed.
 */

import { globSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { openSink } from '../src/audit/sinks.ts';
import { readLines } from '../src/audit/verify.ts';
import { readBackup } from '../src/backup/read.ts';
import { openLedger } from '../src/ledger/ledger.ts';
import { openLog } from '../src/log.ts';
import { followOrders } from '../src/orders/follow.ts';
import { openOrderStore } from '../src/orders/store.ts';
import { openRegistrationStore } from '../src/registration/store.ts';
import { openFileRegistrationStore } from '../src/registration/store-file.ts';
import { openStore } from '../src/sandbox/state.ts';
import { temporaryFolder } from './harness/folder.ts';
import { noPostgres, sharedPostgres } from './harness/postgres.ts';
import { until } from './harness/until.ts';

const refused = {
  code: 'state_invalid',
  detail: /^\S.+ was written by a newer webdist \(format \d+, not \d+\)\.$/,
  hint: 'Run that version, or restore a backup of this version (docs/upgrade.md).',
};
const log = openLog('silent');

/** Fails unless opening is refused. What opens by mistake is closed. */
async function expectRefusal(t: Test, name: string, open: () => unknown): Promise<void> {
  await t.rejects(
    async () => {
      const opened = (await open()) as { close?: () => unknown } | undefined;
      await opened?.close?.();
    },
    refused,
    name,
  );
}

/** Whether this process has the file open. */
const isOpen = (path: string) =>
  globSync('/proc/self/fd/*').some((link) => statSync(link, { throwIfNoEntry: false })?.ino === statSync(path).ino);

const follow = async (dataDir: string, url: string) =>
  followOrders({ store: await openOrderStore({ dataDir, ledger: { url } }), log, now: Date.now });

t.test('files', async (t) => {
  const line = JSON.stringify({ chain: 'c', seq: 1, prev: '0'.repeat(64), format: 2, at: 'now', event: 'other' });
  const sinkOptions = { maxFileBytes: 0, otlpHeaders: {} };
  const table: readonly (readonly [file: string, content: string, open: (dataDir: string) => unknown])[] = [
    ['orders.json', '{"version":2,"orders":[]}', (dir) => follow(dir, `sqlite://${dir}/ledger.sqlite`)],
    ['registration.json', '{"version":2}', (dir) => openFileRegistrationStore(dir).load()],
    ['ever-registered.json', '{"version":2}', (dir) => openFileRegistrationStore(dir).everRegistered()],
    ['rotation.json', '{"version":2}', (dir) => openFileRegistrationStore(dir).readNotice()],
    ['audit.jsonl', `${line}\nincomplete`, (dir) => openSink(`file://${dir}/audit.jsonl`, sinkOptions)],
    ['audit.jsonl', `${line}\n`, (dir) => readLines([join(dir, 'audit.jsonl')], () => undefined)],
    ['sandbox.json', '{"version":2}', (dir) => openStore(dir, () => t.fail() as never)],
    ['webdist.backup', '{"webdist":"backup","format":2}\n', (dir) => readBackup(join(dir, 'webdist.backup'))],
  ];
  for (const [file, content, open] of table) {
    const dataDir = temporaryFolder(t);
    const path = join(dataDir, file);
    writeFileSync(path, content);
    await expectRefusal(t, file, () => open(dataDir));
    t.equal(readFileSync(path, 'utf8'), content, `${file} is unchanged`);
    await until(() => !isOpen(path), `${file} to be closed`);
  }
});

t.test('SQLite', async (t) => {
  const path = join(temporaryFolder(t), 'ledger.sqlite');
  await (await openLedger(`sqlite://${path}`)).close();
  const database = new DatabaseSync(path);
  database.exec('PRAGMA user_version = 99');
  database.close();
  await expectRefusal(t, 'the ledger', () => openLedger(`sqlite://${path}`));
});

t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const postgres = await sharedPostgres();
  const dataDir = temporaryFolder(t);
  const url = await postgres.freshUrl();
  const openRegistration = () => openRegistrationStore({ dataDir, ledger: { url }, apps: [] }, log);
  const registration = await openRegistration();
  t.teardown(() => registration.close());

  await postgres.admin(`INSERT INTO webdist_rotation (run, notice) VALUES ('next', '{"version":2}')`, url);
  await expectRefusal(t, 'the notice of a rotation', () => registration.readNotice());
  await postgres.admin(`INSERT INTO webdist_orders (orders) VALUES ('{"version":2}')`, url);
  await expectRefusal(t, 'the orders', () => follow(dataDir, url));

  await postgres.admin('INSERT INTO webdist_schema VALUES (99)', url);
  await expectRefusal(t, 'the ledger', () => openLedger(url));
  await expectRefusal(t, 'the order store', () => openOrderStore({ dataDir, ledger: { url } }));
  await expectRefusal(t, 'the registration store', openRegistration);
});
