/** Only the user of webdist can read what it writes to the data folder. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openFileLock } from '../../src/file-lock.ts';
import { openSqliteFile } from '../../src/ledger/sqlite-file.ts';
import { replaceFile } from '../../src/replace-file.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { startProcess, webdist } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { isReady } from '../harness/service.ts';

/** The modes of all files in a folder, by path. */
const modesIn = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => [name, (statSync(join(parentPath, name)).mode & 0o777).toString(8)]),
  );
const shared = (modes: Record<string, string>) => Object.entries(modes).filter(([, mode]) => mode !== '600');

t.test('each way to create a file, with the usual umask', async (t) => {
  const before = process.umask(0o022);
  t.teardown(() => process.umask(before));
  const ways: Record<string, (path: string) => unknown> = {
    lock: (path) => {
      const lock = openFileLock(path, 'WEBDIST_DATA_DIR');
      lock.tryLock();
      t.teardown(() => lock.close());
    },
    ledger: async (path) => {
      const { database } = await openSqliteFile(`sqlite://${path}`);
      t.teardown(() => database.close());
    },
    replaced: (path) => replaceFile(path, 'text'),
  };
  for (const [name, create] of Object.entries(ways)) {
    const folder = temporaryFolder(t);
    await create(join(folder, name));
    t.equal(modesIn(folder)[name], '600', name);
    t.strictSame(shared(modesIn(folder)), [], `${name}: and the files beside it`);
  }
});

t.test('the data folder of a service that runs, and after a command', async (t) => {
  const { settings } = await startSandbox(t);
  const dataDir = temporaryFolder(t);
  const env = { ...settings, WEBDIST_DATA_DIR: dataDir, WEBDIST_AUDIT: join(dataDir, 'audit.jsonl') };
  const { url } = await startProcess(t, env);
  await isReady(url);
  await webdist(['keys', 'stop', '--yes', '--app', String(settings['WEBDIST_BUNDLE_ID'])], env);
  const modes = modesIn(dataDir);
  for (const name of [
    'checks.lock',
    'orders.lock',
    'audit.jsonl',
    'audit.jsonl.lock',
    'ledger.sqlite',
    'ledger-secret',
  ])
    t.ok(name in modes, `there is a ${name}`);
  t.strictSame(shared(modes), []);
});
