/**
 * A backup and a restore under 300 requests a second, with SQLite and with PostgreSQL: no request fails, no acknowledged
 * install is lost, and no device that got `redownload` gets `download` again.
 */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { noPostgres, sharedPostgres } from '../../harness/postgres.ts';
import { openProcess, webdist } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';
import { addOldInstalls, lostIn, OLD, openVisitors, PER_SECOND, visitedSettings } from '../../harness/visitors.ts';

/** `urlOf` returns the URL of an empty ledger for this data folder. */
async function measure(t: Test, urlOf: (dataDir: string) => Promise<string>) {
  const folder = temporaryFolder(t);
  const open = async (name: string) => {
    const dataDir = join(folder, name);
    const url = await urlOf(dataDir);
    return { url, env: visitedSettings(folder, dataDir, url) };
  };
  const serve = async (env: Environment, name: string) => {
    const service = await openProcess(env);
    t.teardown(() => service.end('SIGKILL'));
    await isReady(service.url);
    const visitors = openVisitors(t, name, () => service.url);
    const end = async () => {
      await visitors.end();
      await service.end('SIGKILL');
    };
    return { ...visitors, end };
  };
  const first = await open('first');
  const longAgo = await addOldInstalls(first.url);

  const before = await serve(first.env, 'first');
  await before.more(PER_SECOND);
  const promised = [...before.acknowledged];
  const file = join(folder, 'webdist.backup');
  const backupBegan = performance.now();
  const written = await webdist(['backup', '--out', file], first.env);
  const backupSeconds = (performance.now() - backupBegan) / 1000;
  t.equal(written.code, 0, written.stderr);
  await before.more(PER_SECOND);
  await before.end();
  t.strictSame([before.failed, before.reverted], [[], []], 'during the backup');

  const second = await open('second');
  const after = await serve(second.env, 'second');
  await after.more(PER_SECOND);
  t.equal(after.isRedownload.size, 0, 'the new ledger does not know the old installs');
  const refused = await webdist(['restore', file], second.env);
  t.match(refused, { code: 2, stderr: /needs confirmation: Restore 2\d+ installs/ });
  const restoreBegan = performance.now();
  const restored = await webdist(['restore', file, '--yes'], second.env);
  const restoreSeconds = (performance.now() - restoreBegan) / 1000;
  t.equal(restored.code, 0, restored.stderr);
  await after.more(2 * PER_SECOND);
  await after.end();
  t.strictSame([after.failed, after.reverted], [[], []], 'during the restore');
  t.ok(after.isRedownload.size > PER_SECOND / 2, 'the old installs are known again');

  const lost = await lostIn(second.url, [...promised, ...after.acknowledged], longAgo);
  t.strictSame(lost, [], 'no install is lost');
  t.comment(
    `${before.answers() + after.answers()} requests, 0 failed, ${before.sentAgain() + after.sentAgain()} sent again; ${OLD + promised.length + after.acknowledged.length} installs, 0 lost;`,
    `backup ${backupSeconds.toFixed(1)} s, restore ${restoreSeconds.toFixed(1)} s`,
  );
}

t.test('SQLite', (t) => measure(t, async (dataDir) => `sqlite://${dataDir}/ledger.sqlite`));

t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const postgres = await sharedPostgres();
  await measure(t, () => postgres.freshUrl());
});
