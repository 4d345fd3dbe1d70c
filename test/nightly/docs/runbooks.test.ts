/** The runbooks: each loss is caused, and the commands of its section are run, in their order, until it is over. */

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { openLedger } from '../../../src/ledger/ledger.ts';
import { keyIdOf, openAccount } from '../../harness/account.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { openShell, shellBlocksOf } from '../../harness/page.ts';
import { freePort } from '../../harness/port.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { startProcess, webdist } from '../../harness/process.ts';
import { isReady, settingsIn } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const PAGE = 'docs/runbooks.md';
const SECRET = 'one secret of at least 32 characters';

/** A command begins with `start`; `before` prepares for it. */
type Step = {
  readonly start: string;
  readonly code?: number;
  readonly output: RegExp;
  readonly before?: () => Promise<unknown>;
};

/** Runs the commands of a section; `port` is that of the service. */
async function follow(t: Test, section: string, env: Environment, port: string, steps: readonly Step[], cwd?: string) {
  const run = openShell(cwd ?? temporaryFolder(t), env);
  const commands = shellBlocksOf(PAGE, section).flatMap((block) => block.split('\n'));
  t.equal(commands.length, steps.length, `${section}: every command has a step`);
  for (const [index, { start, code = 0, output, before }] of steps.entries()) {
    const command = commands[index] ?? '';
    t.ok(command.startsWith(start), `${section}: ${command}`);
    await before?.();
    const done = await run(command.replace('localhost:8080', `127.0.0.1:${port}`));
    t.equal(done.code, code, `${command}\n${done.stdout}${done.stderr}`);
    t.match(done.stdout + done.stderr, output, command);
  }
}

const portOf = ({ url }: { readonly url: string }) => new URL(url).port;

for (const [section, lost] of [
  ['A replica', 1],
  ['A zone', 2],
] as const)
  t.test(section, async (t) => {
    const { env } = await openAccount(t);
    const replicas = await Promise.all([1, 2, 3].map(() => startProcess(t, env)));
    for (const { url } of replicas) await isReady(url);
    for (const replica of replicas.slice(0, lost)) await replica.end('SIGKILL');
    const silent = async () => (await webdist(['status'], env)).stdout.split('silent for').length === lost + 1;
    await until(silent, 'the status to say so');
    const another = await startProcess(t, env);
    await isReady(another.url);
    const steps: Step[] =
      lost === 1
        ? [
            { start: 'webdist status', output: /silent for \d+ s[\s\S]+ ready|ready[\s\S]+silent for \d+ s/ },
            { start: 'curl', output: /"ready"|"status"/ },
          ]
        : [{ start: 'webdist status --json', output: /"state":"silent for \d+ s".+|"state":"ready"/ }];
    await follow(t, section, env, portOf(another), steps);
    t.match(await keyIdOf(another.url), /^[\w-]{36}$/, 'the new replica issues tokens');
  });

t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const folder = temporaryFolder(t);
  const url = await server.freshUrl();
  const env = settingsIn(folder, { WEBDIST_LEDGER: url, WEBDIST_LEDGER_SECRET: SECRET });
  const service = await startProcess(t, env);
  await isReady(service.url);
  const ledger = await openLedger(url);
  await ledger.addInstalls([{ subject: 1, appleItemId: '1', installedAtSeconds: 2, redownloadAtSeconds: 3 }]);
  await ledger.close();
  const made = await webdist(['backup', '--out', join(folder, 'webdist.backup')], env);
  t.equal(made.code, 0, made.stderr);
  server.stop('immediate');
  const ledgerIs = async (state: string) => {
    const body = await (await fetch(`${service.url}/health/ready`)).text();
    return new RegExp(`"ledger":\\{[^}]*"${state}"`).test(body);
  };
  await until(() => ledgerIs('degraded'), 'health to say so');
  const lose = async () => {
    server.start();
    await server.admin('DROP SCHEMA public CASCADE', url);
    await server.admin('CREATE SCHEMA public', url);
  };
  await follow(
    t,
    'PostgreSQL',
    env,
    portOf(service),
    [
      { start: 'curl', output: /"ledger":\{[^}]*degraded/ },
      { start: 'webdist ledger stats', code: 1, output: /PostgreSQL cannot be reached/ },
      { start: 'webdist restore', output: /installs +1\n/, before: lose },
      { start: 'webdist ledger stats', output: /^installs {2}1$/m },
    ],
    folder,
  );
  await until(() => ledgerIs('ok'), 'the service to use it again');
});

t.test('Redis', async (t) => {
  const env = settingsIn(temporaryFolder(t), { WEBDIST_REDIS_URL: `redis://127.0.0.1:${await freePort()}` });
  const service = await startProcess(t, env);
  await isReady(service.url);
  await follow(t, 'Redis', env, portOf(service), [{ start: 'curl', output: /"redis":\{[^}]*degraded/ }]);
});

t.test('The KMS', async (t) => {
  const { env } = await openAccount(t);
  const away = { ...env, WEBDIST_KEY: 'hashivault://camping', VAULT_TOKEN: 'root' };
  const vault = { ...away, VAULT_ADDR: `http://127.0.0.1:${await freePort()}` };
  await follow(t, 'The KMS', vault, '0', [
    { start: 'webdist doctor', code: 1, output: /^fail .*Vault/m },
    { start: 'webdist keys list', output: /SHA256:|KEY|No keys/i },
  ]);
});

t.test('The key', async (t) => {
  const { env, asc } = await openAccount(t);
  const folder = temporaryFolder(t);
  const both = { ...env, WEBDIST_KEY: `${env.WEBDIST_KEY.split(' ')[0]} file://${folder}/replacement.pem` };
  const old = { ...env, WEBDIST_KEY: String(env.WEBDIST_KEY.split(' ')[0]) };
  const first = await startProcess(t, old);
  await isReady(first.url);
  const before = await keyIdOf(first.url);
  let url = '';
  const restart = async () => {
    await first.end('SIGKILL');
    const second = await startProcess(t, both);
    url = second.url;
    // It is stopped, so it is not ready; the command waits for it.
    await until(() => second.output().includes('"event":"listening"'), 'the restarted service');
  };
  await follow(
    t,
    'The key',
    both,
    '0',
    [
      { start: 'webdist keys stop', output: /stopped|Followed|Running services/i },
      { start: 'webdist keygen', output: /BEGIN PUBLIC KEY/ },
      { start: 'webdist keys rotate', output: /./, before: restart },
      { start: 'webdist keys resume', output: /./ },
      { start: 'webdist keys list', output: /SHA256:/ },
    ],
    folder,
  );
  const now = await asc.appKey('6500000001');
  t.not(now?.id, before, 'another key is registered');
  await until(async () => (await keyIdOf(url)) === now?.id, 'tokens of the replacement');
});

t.test('The secret', async (t) => {
  const folder = temporaryFolder(t);
  const env = settingsIn(folder);
  const dataDir = String(env['WEBDIST_DATA_DIR']);
  const service = await startProcess(t, env);
  await isReady(service.url);
  const made = await webdist(['backup', '--out', join(folder, 'webdist.backup')], env);
  t.equal(made.code, 0, made.stderr);
  await service.end('SIGKILL');
  rmSync(join(dataDir, 'ledger-secret'));
  t.match(await webdist(['serve'], env), {
    code: 1,
    stderr: /The ledger was written with another WEBDIST_LEDGER_SECRET/,
  });
  const steps: Step[] = [
    { start: 'rm -f', output: /^$/ },
    { start: 'webdist restore', output: /ledger-secret +1/ },
    { start: 'webdist ledger stats', output: /^installs/ },
  ];
  await follow(t, 'The secret', env, '0', steps, folder);
  const again = await startProcess(t, env);
  await isReady(again.url);
});
