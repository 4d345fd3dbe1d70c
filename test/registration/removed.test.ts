/**
 * A key or domain that was removed at App Store Connect is never registered again by a start, only by an explicit
 * command.
 */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { keyFile } from '../harness/account.ts';
import { accountOf, openClient } from '../harness/app-store-connect.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { runWebdist } from '../harness/process.ts';
import { endFaults, requestsSeen, setFault, startSandbox } from '../harness/sandbox.ts';
import { type Running, startReady, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

type Case = {
  readonly name: string;
  readonly settings?: Record<string, string>;
  /** What happens between the removal and the next start. */
  readonly before?: (running: Running) => Promise<void>;
  /** Settings of the next start. */
  readonly changed?: (folder: string) => Record<string, string>;
};

const noticed = async ({ service }: Running) => {
  await service.reconcile();
};

const cases: readonly Case[] = [
  { name: 'the server stops before it notices', before: async () => undefined },
  { name: 'the server notices, then stops', before: noticed },
  { name: 'a key of the account', settings: { WEBDIST_KEY_SCOPE: 'account' }, before: noticed },
  {
    name: 'another locator at the next start',
    before: noticed,
    changed: (folder) => ({ WEBDIST_KEY: keyFile(folder, 'other.pem') }),
  },
  {
    name: 'the file of key ids is deleted',
    changed: (folder) => {
      rmSync(join(folder, 'registration.json'), { force: true });
      return {};
    },
  },
];

t.jobs = cases.length;
for (const { name, settings, before, changed } of cases)
  t.test(`the key and the domain are removed: ${name}`, { buffered: true }, async (t) => {
    const sandbox = await startSandbox(t);
    const folder = temporaryFolder(t);
    const env = { ...settings, WEBDIST_DATA_DIR: folder };
    const first = await startReady(t, sandbox, env);
    await first.service.reconcile();
    const asc = openClient(t, accountOf(sandbox));
    for (const key of await asc.listKeys()) await asc.removeKey(key.id);
    for (const domain of await asc.listDomains()) await asc.removeDomain(domain.id);
    await before?.(first);
    await first.stop();

    for (const start of ['the next start', 'the start after it']) {
      const again = await startService(t, sandbox, { ...env, ...changed?.(folder) });
      await again.service.reconcile();
      t.equal((await askToken(again.url)).status, 503, `${start} signs nothing`);
      t.match(again.service.health(), {
        ready: false,
        apps: {
          'com.example.trailmap': { registration: { code: 'registration_missing', detail: /webdist keys add/ } },
        },
        domain: { code: 'registration_missing', detail: /webdist domains add/ },
      });
      await again.stop();
    }
    t.equal((await requestsSeen(sandbox, 'POST')).length, 2, 'nothing was registered after the first start');

    const last: Record<string, string> = { ...sandbox.settings, ...env, ...changed?.(folder) };
    for (const args of [
      ['keys', 'add'],
      ['domains', 'add', last['WEBDIST_DOMAIN'] ?? ''],
    ]) {
      const { exited, output } = runWebdist(t, args, last);
      t.equal(await exited, 0, output());
    }
    const signing = await startReady(t, sandbox, last);
    t.equal((await askToken(signing.url)).status, 200, 'after `webdist keys add` it signs again');
  });

t.test('replicas that share PostgreSQL', { skip: noPostgres, buffered: true }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const shared = {
    WEBDIST_LEDGER: await server.freshUrl(),
    WEBDIST_LEDGER_SECRET: 'a secret of thirty-two characters',
  };
  const sandbox = await startSandbox(t);
  const one = await startReady(t, sandbox, shared);
  await one.service.reconcile();
  await one.stop();
  const asc = openClient(t, accountOf(sandbox));
  for (const key of await asc.listKeys()) await asc.removeKey(key.id);

  const two = await startService(t, sandbox, shared);
  await two.service.reconcile();
  t.match(two.service.health(), { ready: false }, 'a replica with an empty disk does not register it again');
  await two.stop();

  server.stop('fast');
  const three = await startService(t, sandbox, shared);
  await three.service.reconcile();
  t.match(three.service.health(), { ready: false }, 'nor one that cannot read what was ever registered');
  server.start();
  await three.service.reconcile();
  t.equal((await requestsSeen(sandbox, 'POST')).length, 2);
});

t.test('a first start that fails midway still registers', { buffered: true }, async (t) => {
  const sandbox = await startSandbox(t);
  await setFault(sandbox, { method: 'POST', status: 500 });
  const env = { WEBDIST_DATA_DIR: temporaryFolder(t) };
  const first = await startService(t, sandbox, env);
  await first.service.reconcile();
  await first.stop();
  await endFaults(sandbox);
  const again = await startReady(t, sandbox, env);
  await until(() => again.service.health().domain.state === 'ok', 'the domain');
});
