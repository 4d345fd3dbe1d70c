/** Behaviour that only SQLite has: several processes on one file, locks, schemas, invalid files. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { openLedger } from '../../src/ledger/ledger.ts';
import { dtypeOf, entryOf, installedAt, installOf, LIFETIME, NOW, subjectOf } from './contract.ts';

const open = (path: string) => openLedger(`sqlite://${path}`);

t.test('only the owner can read the file and those that SQLite creates beside it', async (test) => {
  const path = join(test.testdir(), 'deep', 'ledger.sqlite');
  const ledger = await open(path);
  test.teardown(() => ledger.close());
  await ledger.addInstalls([installOf(subjectOf('private'))]);
  for (const file of [path, `${path}-wal`, `${path}-shm`]) test.equal(statSync(file).mode & 0o777, 0o600, file);
  test.equal(statSync(join(path, '..')).mode & 0o777, 0o700);
});

t.test('while another process holds the lock: a response in time, and the event loop is not blocked', async (test) => {
  const path = join(test.testdir(), 'ledger.sqlite');
  const ledger = await open(path);
  const other = new DatabaseSync(path);
  test.teardown(async () => {
    other.close();
    await ledger.close();
  });
  other.exec('BEGIN IMMEDIATE');
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  await test.rejects(ledger.addInstalls([installOf(subjectOf('waits'))]), { code: 'ledger_unavailable' });
  clearInterval(counting);
  test.ok(turns > 10, `${turns} turns of the event loop meanwhile`);
  test.strictSame(await installedAt(ledger, [entryOf(subjectOf('waits'))]), [undefined], 'a read needs no lock');
  const waiting = ledger.addInstalls([installOf(subjectOf('waits'))]);
  other.exec('COMMIT');
  await waiting;
  test.strictSame(await ledger.stats(), { installs: 1 }, 'a lock that is let go in time does no harm');
});

t.test('ten processes open a new file at once and write to it', async (test) => {
  const path = join(test.testdir(), 'ledger.sqlite');
  const children = Array.from({ length: 10 }, (_, index) => writer(path, `process ${index}`));
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]));
  test.strictSame(codes, Array(10).fill(0));
  const ledger = await open(path);
  test.teardown(() => ledger.close());
  test.strictSame(await ledger.stats(), { installs: 211 });
});

t.test('a newer schema is refused and not changed', async (test) => {
  const path = join(test.testdir(), 'ledger.sqlite');
  await (await open(path)).close();
  const newer = new DatabaseSync(path);
  newer.exec('PRAGMA user_version = 99');
  newer.close();
  await test.rejects(open(path), { code: 'state_invalid', message: /newer webdist/ });
  const after = new DatabaseSync(path);
  test.teardown(() => after.close());
  test.equal(after.prepare('PRAGMA user_version').get()?.['user_version'], 99);
});

t.test("another program's database is refused and left as it is", async (test) => {
  const path = join(test.testdir(), 'other.sqlite');
  const other = new DatabaseSync(path);
  other.exec('CREATE TABLE customer (name TEXT)');
  other.close();
  const before = readFileSync(path);
  await test.rejects(open(path), { code: 'state_invalid', message: /another program/ });
  test.strictSame(readFileSync(path), before);
});

t.test('a file that is not a database, a folder, and a path below a file are refused by name', async (test) => {
  const folder = test.testdir({
    'text.sqlite': 'This is a text, and a rather long one, so that it has a header.\n'.repeat(20),
  });
  const before = readFileSync(join(folder, 'text.sqlite'));
  for (const [name, message] of [
    ['text.sqlite', /is damaged, or is not a file of webdist/],
    ['.', /cannot be opened/],
    ['text.sqlite/ledger.sqlite', /a part of the path is not a folder/],
  ] as const)
    await test.rejects(open(join(folder, name)), { code: 'state_invalid', message }, name);
  test.strictSame(readFileSync(join(folder, 'text.sqlite')), before);
});

t.test('a damaged file: every request fails, and the process goes on', async (test) => {
  const path = join(test.testdir(), 'ledger.sqlite');
  const first = await open(path);
  await first.addInstalls(Array.from({ length: 2000 }, (_, index) => installOf(subjectOf(`${index}`))));
  await first.close();
  const bytes = readFileSync(path);
  // The first page, with the schema, stays; every other page is overwritten.
  writeFileSync(path, Buffer.concat([bytes.subarray(0, 4096), Buffer.alloc(bytes.length - 4096, 0xa5)]));
  const ledger = await open(path);
  test.teardown(() => ledger.close());
  await test.rejects(installedAt(ledger, [entryOf(subjectOf('7'))]), { code: 'ledger_unavailable' });
  await test.rejects(ledger.addInstalls([installOf(subjectOf('new'))]), { code: 'ledger_unavailable' });
  await test.rejects(ledger.stats(), { code: 'ledger_unavailable' });
});

const notRoot = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : undefined;

t.test('a read-only folder is refused by name', async (test) => {
  const folder = join(test.testdir(), 'read-only');
  mkdirSync(folder, { mode: 0o555 });
  const child = writer(join(folder, 'ledger.sqlite'), 'reader', notRoot);
  let stderr = '';
  child.stderr?.on('data', (data) => {
    stderr += data;
  });
  const [code] = await once(child, 'close');
  test.equal(code, 1);
  test.match(stderr, /cannot be written \(WEBDIST_LEDGER, uid \d+, EACCES\)/);
});

const hasLimits = existsSync('/usr/bin/prlimit');

t.test(
  'a full disk: nothing acknowledged is lost, and free space is enough to continue',
  { skip: !hasLimits && 'there is no prlimit' },
  async (test) => {
    const path = join(test.testdir(), 'ledger.sqlite');
    const child = spawn(
      '/usr/bin/prlimit',
      ['--fsize=400000:unlimited', process.execPath, resolve('test/ledger/writer.ts'), path, 'fill'],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    test.teardown(() => child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout });
    const next = async () => JSON.parse(String((await once(lines, 'line'))[0])) as { code?: string; recorded: number };
    const full = await next();
    test.equal(full.code, 'ledger_unavailable', `full after ${full.recorded} records`);
    spawn('/usr/bin/prlimit', ['--fsize=unlimited', '--pid', String(child.pid)]).once('exit', () =>
      child.stdin.end('go on\n'),
    );
    const repaired = await next();
    test.ok(repaired.recorded > full.recorded, 'it went on by itself');
    const ledger = await open(path);
    test.teardown(() => ledger.close());
    test.equal((await ledger.stats()).installs, repaired.recorded);
  },
);

t.test('a memory ledger ends with its process, and two of them are separate', async (test) => {
  const [one, two] = [await openLedger('memory:'), await openLedger('memory:')];
  test.teardown(() => Promise.all([one.close(), two.close()]));
  const install = installOf(subjectOf('memory'));
  await one.addInstalls([install]);
  test.equal(await dtypeOf(one, install, NOW + LIFETIME), 'redownload');
  test.equal(await dtypeOf(two, install, NOW + LIFETIME), 'download');
});

/**
 * A process that adds 20 installs of its own, one per write, and finally one more together with one that all processes
 * add.
 */
function writer(path: string, subject: string, as?: { uid: number; gid: number }): ChildProcess {
  return spawn(process.execPath, [resolve('test/ledger/writer.ts'), path, subject], {
    ...as,
    stdio: ['ignore', 'inherit', 'pipe'],
  });
}

t.test('files that several threads create at the same moment', async (t) => {
  const [folder, threads] = [t.testdir(), 3];
  const urls = Array.from({ length: 40 }, (_, index) => `sqlite://${join(folder, `${index}.sqlite`)}`);
  const arrived = new Int32Array(new SharedArrayBuffer(4 * urls.length));
  const openers = Array.from(
    { length: threads },
    () => new Worker(new URL('opener.ts', import.meta.url), { workerData: { urls, threads, arrived } }),
  );
  t.teardown(() => Promise.all(openers.map((opener) => opener.terminate())));
  t.strictSame(
    (await Promise.all(openers.map((opener) => once(opener, 'message')))).flat(),
    Array(threads).fill('opened'),
  );
});
