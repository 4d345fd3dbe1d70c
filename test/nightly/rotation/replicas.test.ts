/** A rotation with replicas that share only PostgreSQL, and with one that shares nothing. */

import t from 'tap';
import { appleItemId, keyIdOf, openAccount } from '../../harness/account.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

t.test('replicas with their own folders and one PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const { sandbox, env, asc, door, rotate } = await openAccount(t);
  const shared = { ...env, WEBDIST_LEDGER: await server.freshUrl(), WEBDIST_LEDGER_SECRET: 'x'.repeat(40) };
  const start = () => startReady(t, sandbox, { ...shared, WEBDIST_DATA_DIR: temporaryFolder(t) });
  const replicas = [await start(), await start()];
  await Promise.all(replicas.map(({ service }) => service.reconcile()));
  const before = door.passed.length;
  const { code, output } = await rotate(undefined, { ...shared, WEBDIST_DATA_DIR: temporaryFolder(t) });
  t.equal(code, 0, output);
  const key = await asc.appKey(appleItemId);
  for (const { url } of replicas) await until(async () => (await keyIdOf(url)) === key?.id, 'the new key');
  t.notOk(
    door.passed.slice(before).some(({ path }) => path.includes('Domains')),
    'no replica had to ask Apple',
  );
  const back = await rotate(['--rollback'], { ...shared, WEBDIST_DATA_DIR: temporaryFolder(t) });
  t.equal(back.code, 0, back.output);

  for (const { url } of replicas) await until(async () => !(await keyIdOf(url)).startsWith('503'), 'the old key');
  server.stop('immediate');
  for (const { url } of replicas) t.notMatch(await keyIdOf(url), /^503/, 'without the database, signing continues');
  server.start();
});

t.test('a replica that shares nothing follows at its next check', async (t) => {
  const { sandbox, env, asc, rotate } = await openAccount(t);
  const apart = await startReady(t, sandbox, { ...env, WEBDIST_DATA_DIR: temporaryFolder(t) });
  await apart.service.reconcile();
  t.equal((await rotate()).code, 0);
  const key = await asc.appKey(appleItemId);
  t.not(await keyIdOf(apart.url), key?.id);
  await apart.service.reconcile();
  t.equal(await keyIdOf(apart.url), key?.id);
});
