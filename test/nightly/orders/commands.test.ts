/**
 * Orders as operators give them: three services, on one data folder and on one PostgreSQL, with requests all the time. After a
 * command with --wait no service gives a wrong answer, whatever was killed before.
 */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { post } from '../../harness/http.ts';
import { freePort } from '../../harness/port.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { runWebdist, webdist, webdistJson } from '../../harness/process.ts';
import { settingsIn } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

type Status = { replicas: { id: string; state: string; revision: number }[]; orders: { revision: number } };

async function startThree(t: Test, common: Environment, dataDirOf: (index: number) => string) {
  const start = async (index: number) => {
    const port = String(await freePort());
    const env = { ...common, WEBDIST_ANONYMOUS: 'any', WEBDIST_DATA_DIR: dataDirOf(index), PORT: port };
    return { url: `http://127.0.0.1:${port}`, env, command: runWebdist(t, ['serve'], env) };
  };
  const services = await Promise.all([0, 1, 2].map(start));
  await Promise.all(services.map(({ url }) => answering(url, 200)));
  return { services, start };
}

/** Waits for this answer, also from a service that does not listen yet. */
const answering = (url: string, wanted: number) =>
  until(async () => (await statusOf(url).catch(() => 0)) === wanted, `${url} to answer ${wanted}`);

const statusOf = async (url: string) => (await post(`${url}/install-token`, {})).status;

async function stopAndResume(t: Test, common: Environment, dataDirOf: (index: number) => string) {
  const { services } = await startThree(t, common, dataDirOf);
  const own = { ...common, WEBDIST_DATA_DIR: dataDirOf(0) };
  const command = (...args: string[]) => webdist(args, own);
  const status = () => webdistJson<Status>(['status'], own);
  const answers = () => Promise.all(services.map(({ url }) => statusOf(url)));

  t.strictSame(await answers(), [200, 200, 200]);
  t.match(await command('keys', 'stop', '--yes', '--wait'), {
    code: 0,
    stdout: /is stopped.+\nFollowed by 3 running services\.\n/s,
  });
  for (let round = 0; round < 5; round++) t.strictSame(await answers(), [503, 503, 503], 'not one token after --wait');
  t.match(await post(`${services[0]?.url}/install-token`, {}), {
    status: 503,
    body: { code: 'not_registered', detail: 'The operator has stopped signing for this app.' },
  });
  t.match(await (await fetch(`${services[0]?.url}/health/ready`)).json(), {
    ready: false,
    apps: { 'com.example.trailmap': { registration: { detail: /stopped by an operator/ } } },
  });
  t.match(await status(), { orders: { revision: 1 }, replicas: Array(3).fill({ revision: 1, state: 'not ready' }) });
  t.match(await command('keys', 'stop', '--yes'), { code: 0, stdout: /was stopped already/ }, 'a second time');

  const [killed] = services;
  await killed?.command.end('SIGKILL');
  if (killed) {
    runWebdist(t, ['serve'], killed.env);
    await answering(killed.url, 503);
  }
  t.strictSame(await answers(), [503, 503, 503], 'an order survives a restart');

  // A service that hangs is not waited for, and `status` reports it.
  const hanging = services[2]?.command.child;
  hanging?.kill('SIGSTOP');
  t.match(await command('keys', 'resume', '--wait'), { code: 0, stdout: /resumed/ });
  t.match(
    (await status()).replicas.filter(({ state }) => state.startsWith('silent')),
    [{ state: /^silent for \d+ s$/ }],
  );
  t.equal((await command('keys', 'stop', '--yes')).code, 0);
  hanging?.kill('SIGCONT');
  t.equal(await statusOf(services[2]?.url ?? ''), 503, 'its first answer obeys what it missed');
  t.match(await command('keys', 'resume', '--wait', '--yes'), { code: 0, stdout: /is resumed/ });
  t.match(await command('keys', 'resume'), { code: 0, stdout: /was not stopped/ });
  t.match(await command('status'), { code: 0, stdout: /No orders are in force/ });
  t.strictSame(await answers(), [200, 200, 200]);
}

t.test('three services on one data folder', async (t) => {
  const folder = temporaryFolder(t);
  await stopAndResume(t, settingsIn(folder), () => join(folder, 'data'));
});

t.test('three replicas on PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const folder = temporaryFolder(t);
  const common = settingsIn(folder, {
    WEBDIST_LEDGER: await server.freshUrl(),
    WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
  });
  await stopAndResume(t, common, (index) => join(folder, `data-${index}`));
});

t.test('a command names the app, or says what to do', async (t) => {
  const env = { WEBDIST_DATA_DIR: temporaryFolder(t) };
  t.match(await webdist(['keys', 'stop'], env), {
    code: 2,
    stderr: /No app is known here\. Run this with the settings/,
  });
  const settings = settingsIn(temporaryFolder(t));
  t.match(await webdist(['keys', 'stop', '--app', 'com.none'], settings), {
    code: 2,
    stderr: /No app "com\.none" is known here\. Use --app with one of: com\.example\.trailmap\./,
  });
  t.match(await webdist(['packages', 'hold', '1.4.0'], settings), { code: 2, stderr: /AppleVersionID/ });
  t.match(await webdist(['status'], settings), {
    code: 0,
    stdout: 'No service is running.\n\nNo orders are in force.\n',
  });
});
