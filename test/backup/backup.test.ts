/** A backup of every store, restored into every kind of ledger; what it merges, what it refuses, and that damage is named. */

import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { collect } from '../../src/backup/collect.ts';
import { contentOf, expectSameSecret, openBackup, restore } from '../../src/backup/restore.ts';
import { openStores, type Stores } from '../../src/backup/stores.ts';
import { writeBackup } from '../../src/backup/write.ts';
import type { InstallRecord } from '../../src/ledger/contract.ts';
import { openLog } from '../../src/log.ts';
import type { Orders } from '../../src/orders/orders.ts';
import type { Notice } from '../../src/registration/rotation/notice.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { noPostgres, sharedPostgres } from '../harness/postgres.ts';

const SECRET = 'one secret of at least 32 characters';
const APP = '6500000001';
const NOW = 1_795_000_000;

const install = (subject: number, installedAtSeconds = NOW): InstallRecord => ({
  subject,
  appleItemId: APP,
  installedAtSeconds,
  redownloadAtSeconds: installedAtSeconds + 1200,
});

type Place = { readonly dataDir: string; readonly url: string };

const onSqlite = async (t: Test): Promise<Place> => {
  const dataDir = temporaryFolder(t);
  return { dataDir, url: `sqlite://${dataDir}/ledger.sqlite` };
};
const onPostgres = async (t: Test): Promise<Place> => ({
  dataDir: temporaryFolder(t),
  url: await (await sharedPostgres()).freshUrl(),
});
const kinds = { SQLite: onSqlite, ...(noPostgres ? {} : { PostgreSQL: onPostgres }) };

async function open(t: Test, { dataDir, url }: Place, secret: string | undefined = SECRET): Promise<Stores> {
  const stores = await openStores(
    { dataDir, ledger: { url, secret }, auditSinks: [`file://${dataDir}/audit.jsonl`] },
    openLog('silent'),
  );
  t.teardown(() => stores[Symbol.asyncDispose]());
  return stores;
}

/** Writes a backup, and returns its path. */
async function backUp(t: Test, stores: Stores, withKeys = true): Promise<string> {
  const path = join(temporaryFolder(t), 'webdist.backup');
  await writeBackup(
    async (text) => appendFileSync(path, text),
    new Date(NOW * 1000).toISOString(),
    (put) => collect(stores, withKeys, put),
  );
  return path;
}

async function restoreInto(stores: Stores, path: string): Promise<readonly string[]> {
  const backup = await openBackup(path);
  await expectSameSecret(backup, stores);
  return restore(backup, stores);
}

async function contentsOf({ ledger, registration, orders, ...own }: Stores) {
  const installs: InstallRecord[] = [];
  await ledger.readAll(async (batch) => void installs.push(...batch));
  return {
    secret: own.secret,
    installs: installs.toSorted((a, b) => a.subject - b.subject),
    keys: await registration.load(),
    names: [...(await registration.everRegistered())].sort(),
    notice: await registration.readNotice(),
    orders: await orders.read(),
  };
}

const key = (keyId: string, seenAt: string) => ({ keyId, spki: 'MFkw', seenAt });
const notice: Notice = {
  run: 'run-1',
  beat: 7,
  phase: 'done',
  scope: 'app',
  appleItemIds: [APP],
  to: { spki: 'MFkw', keyId: 'key-1' },
  isRollback: false,
};
const orders: Orders = { revision: 3, apps: { [APP]: { isStopped: true, held: ['100'] } } };

/** 2500 installs and something in every other store. */
async function fill(stores: Stores): Promise<void> {
  for (let from = 0; from < 2500; from += 250)
    await stores.ledger.addInstalls(Array.from({ length: 250 }, (_, index) => install(from + index)));
  await stores.registration.save({ [APP]: key('key-1', '2026-11-20T10:00:00.000Z') });
  await stores.registration.addEverRegistered([APP, 'example.com']);
  await stores.registration.writeNotice(notice, undefined);
  await stores.orders.adopt(orders);
  writeFileSync(join(stores.dataDir, 'audit.jsonl.1'), '{"older":1}\n');
  writeFileSync(join(stores.dataDir, 'audit.jsonl'), `{"newer":"\u2028 é"}\n${'x'.repeat(200_000)}\nincomplete`);
  writeFileSync(join(stores.dataDir, 'distribution-key.pem'), 'PRIVATE\n');
}

for (const [from, openFrom] of Object.entries(kinds))
  for (const [to, openTo] of Object.entries(kinds))
    t.test(`from ${from} to ${to}`, async (t) => {
      const source = await open(t, await openFrom(t));
      await fill(source);
      const path = await backUp(t, source);
      const place = await openTo(t);
      const target = await open(t, place);
      t.equal((await contentOf(target)).isEmpty, true);

      const notes = await restoreInto(target, path);
      const restored = await contentsOf(target);
      t.strictSame(restored, await contentsOf(source), 'everything is there');
      t.equal(restored.installs.length, 2500);
      t.equal((await contentOf(target)).isEmpty, false);
      t.equal(readFileSync(join(place.dataDir, 'distribution-key.pem'), 'utf8'), 'PRIVATE\n');
      const files = notes.map((note) => /^Audit lines are in (.+)\.$/.exec(note)?.[1] ?? note);
      t.equal(files.length, 2);
      t.strictSame(
        files.map((file) => readFileSync(file, 'utf8')),
        ['{"older":1}\n', `{"newer":"\u2028 é"}\n${'x'.repeat(200_000)}\n`],
        'audit lines are complete',
      );
      await restoreInto(target, path);
      t.strictSame(await contentsOf(target), restored, 'a second time changes nothing');
    });

t.test('what is restored is merged with what is there', async (t) => {
  const source = await open(t, await onSqlite(t));
  await fill(source);
  const path = await backUp(t, source);
  const target = await open(t, await onSqlite(t));
  const stopped: Orders = { revision: 1, apps: { [APP]: { isStopped: false, held: [] } } };
  await target.ledger.addInstalls([install(1, NOW - 5), install(2, NOW + 5), install(9999, NOW + 9)]);
  await target.registration.save({
    [APP]: key('key-2', '2026-11-21T10:00:00.000Z'),
    '6500000002': key('key-3', '2026-11-01T10:00:00.000Z'),
  });
  await target.registration.addEverRegistered(['example.org']);
  await target.orders.adopt(stopped);
  await target.registration.writeNotice({ ...notice, run: 'run-2' }, undefined);
  writeFileSync(join(target.dataDir, 'distribution-key.pem'), 'OTHER\n');

  const notes = await restoreInto(target, path);
  const after = await contentsOf(target);
  t.equal(after.installs.length, 2501, 'installs of both');
  t.strictSame(
    [1, 2, 9999].map((subject) => after.installs.find((one) => one.subject === subject)?.installedAtSeconds),
    [NOW - 5, NOW, NOW + 9],
    'each has its older date',
  );
  t.equal(after.keys[APP]?.keyId, 'key-2', 'the key that was seen last');
  t.equal(after.keys['6500000002']?.keyId, 'key-3');
  t.strictSame(after.names, [APP, 'example.com', 'example.org']);
  t.strictSame(after.orders, stopped, 'orders in force stay');
  t.equal(after.notice?.run, 'run-2');
  t.equal(readFileSync(join(target.dataDir, 'distribution-key.pem'), 'utf8'), 'OTHER\n');
  t.strictSame(
    notes.filter((note) => !note.startsWith('Audit lines')),
    [
      'The last rotation that is recorded here is kept.',
      'The orders in force here are kept.',
      `${join(target.dataDir, 'distribution-key.pem')} is not replaced.`,
    ],
  );
});

t.test('the secret', async (t) => {
  const source = await open(t, await onSqlite(t));
  await fill(source);
  const path = await backUp(t, source);
  const another = 'another secret of at least 32 letters';
  const table: Record<string, () => Promise<Stores>> = {
    'another setting': async () => open(t, await onSqlite(t), another),
    'another file in the data folder': async () => {
      const place = await onSqlite(t);
      writeFileSync(join(place.dataDir, 'ledger-secret'), `${another}\n`);
      return openStores({ ...place, ledger: { url: place.url, secret: undefined }, auditSinks: [] }, openLog('silent'));
    },
    'a ledger of another secret': async () => {
      const stores = await openStores(
        { dataDir: temporaryFolder(t), ledger: { url: (await onSqlite(t)).url, secret: undefined }, auditSinks: [] },
        openLog('silent'),
      );
      await stores.ledger.keepSecretFingerprint('0'.repeat(64));
      return stores;
    },
  };
  for (const [name, openTarget] of Object.entries(table)) {
    await using target = await openTarget();
    await t.rejects(
      restoreInto(target, path),
      { code: 'state_invalid', detail: /another WEBDIST_LEDGER_SECRET/ },
      name,
    );
    t.equal((await target.ledger.stats()).installs, 0);
  }
  const place = await onSqlite(t);
  await using fresh = await openStores(
    { ...place, ledger: { url: place.url, secret: undefined }, auditSinks: [] },
    openLog('silent'),
  );
  await t.rejects(
    collect(fresh, false, async () => undefined),
    { code: 'state_invalid', detail: /^There is nothing to back up/ },
  );
  await restoreInto(fresh, path);
  t.equal(readFileSync(join(place.dataDir, 'ledger-secret'), 'utf8'), `${SECRET}\n`, 'none: that of the backup');
});

t.test('private keys are included only on request', async (t) => {
  const source = await open(t, await onSqlite(t));
  await fill(source);
  writeFileSync(join(source.dataDir, 'sandbox.json'), '{}');
  writeFileSync(join(source.dataDir, 'AuthKey_1.p8'), 'PRIVATE\n');
  const { manifest } = await openBackup(await backUp(t, source, false));
  t.equal(manifest['key-files'], undefined);
  t.notMatch(readFileSync(await backUp(t, source, false), 'utf8'), 'PRIVATE');
  t.equal((await openBackup(await backUp(t, source))).manifest['key-files']?.count, 3);
});

t.test('a file that is not a complete backup of this format is refused in one sentence', async (t) => {
  const source = await open(t, await onSqlite(t));
  await fill(source);
  const text = readFileSync(await backUp(t, source), 'utf8');
  const lines = text.trimEnd().split('\n');
  const withLine = (index: number, line: string) => lines.with(index, line).join('\n');
  const at = (entry: string) => lines.findIndex((line) => line.startsWith(`{"entry":"${entry}"`));
  const changed = (entry: string, from: string | RegExp, to: string) =>
    withLine(at(entry), (lines[at(entry)] ?? '').replace(from, to));
  const table: Record<string, readonly [string, RegExp]> = {
    'an empty file': ['', /is damaged: it is empty/],
    'another file': ['-----BEGIN PRIVATE KEY-----\n', /is not a backup of webdist/],
    'another JSON': ['{"webdist":"other"}\n', /is not a backup of webdist/],
    'a newer format': [
      withLine(0, '{"webdist":"backup","format":2,"new":true}'),
      /^The backup \S+ was written by a newer webdist \(format 2, not 1\)\.$/,
    ],
    'a changed header': [
      withLine(0, (lines[0] ?? '').replace('2026', '2027')),
      /the entry header was changed after it was written/,
    ],
    'a changed secret': [
      changed('ledger-secret', 'one', 'two'),
      /the entry ledger-secret was changed after it was written/,
    ],
    'a changed key id': [
      changed('registration', 'key-1', 'key-2'),
      /the entry registration was changed after it was written/,
    ],
    'an install with another form': [changed('installs', `[5,`, `["5",`), /the entry installs cannot be read/],
    'a changed install': [changed('installs', `[5,`, `[6,`), /the entry installs was changed after it was written/],
    'a missing line': [
      lines.toSpliced(at('installs') + 1, 1).join('\n'),
      /the entry installs was changed after it was written/,
    ],
    'a repeated line': [
      lines.toSpliced(2, 0, lines[2] ?? '').join('\n'),
      /the entry registration was changed after it was written/,
    ],
    'an order of another form': [changed('orders', '"revision":3', '"revision":"x"'), /the entry orders cannot be/],
    'an unknown entry': [withLine(3, '{"entry":"other","data":1}'), /an entry after registration has no known name/],
    'a cut line': [text.slice(0, text.length / 2), /a line in or after the entry \S+ cannot be read/],
    'a cut after a line': [lines.slice(0, -1).join('\n'), /it is incomplete, and ends in the entry installs/],
    'text after its end': [`${text}more\n`, /it continues after its manifest/],
  };
  for (const [name, [content, wanted]] of Object.entries(table)) {
    const path = join(temporaryFolder(t), 'damaged.backup');
    writeFileSync(path, content);
    await t.rejects(openBackup(path), { code: 'state_invalid', detail: wanted }, name);
  }
  await t.rejects(openBackup('/nowhere/webdist.backup'), {
    code: 'state_invalid',
    detail: /cannot be read \(ENOENT\)/,
  });
});
