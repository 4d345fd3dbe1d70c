/**
 * Orders under load: three services, on one data folder and on one PostgreSQL, with 300 requests a second. Measures how long
 * after the end of a command the last wrong answer arrives, while commands, services and PostgreSQL are killed.
 */

import { createHash } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { post } from '../../harness/http.ts';
import { openLoad } from '../../harness/load.ts';
import { freePort } from '../../harness/port.ts';
import { noPostgres, openPostgresServer } from '../../harness/postgres.ts';
import { type Command, runWebdist, webdist, webdistJson } from '../../harness/process.ts';
import { settingsIn } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';
import { makeCurrent, putVersion } from '../../harness/versions.ts';

const PER_SECOND = 300;
const ROUNDS = Number(process.env['ROUNDS'] ?? 3);
/** Answers are observed for this long after each change. */
const OBSERVED_MS = 1500;
/** The promise without `--wait`. */
const MOST_SECONDS = 1;
const API_KEY = 'key-of-the-shop-0123456789';
const sha256 = createHash('sha256').update(API_KEY).digest('hex');

/** What a service answered: the version of the token, or the code of the refusal. */
type Answer = { readonly sentAt: number; readonly at: number; readonly replica: number; readonly got: string };

type Fleet = {
  readonly common: Environment;
  readonly dataDirOf: (replica: number) => string;
  /** Kills the store of the orders and starts it again; absent for a data folder. */
  readonly crash?: () => Promise<void>;
};

async function measure(t: Test, folder: string, { common, dataDirOf, crash }: Fleet) {
  const keys = join(folder, 'api-keys');
  const writeKeys = (entry: string) => {
    writeFileSync(`${keys}.new`, entry);
    renameSync(`${keys}.new`, keys);
  };
  writeKeys(`shop:${sha256}`);
  const ports = await Promise.all([freePort(), freePort(), freePort()]);
  const urls = ports.map((port) => `http://127.0.0.1:${port}`);
  const start = (replica: number): Command =>
    runWebdist(t, ['serve'], {
      ...common,
      WEBDIST_API_KEYS_FILE: keys,
      WEBDIST_DATA_DIR: dataDirOf(replica),
      PORT: String(ports[replica]),
    });
  const running = ports.map((_, replica) => start(replica));
  const isUp = (url: string) =>
    fetch(`${url}/health/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  for (const url of urls) await until(() => isUp(url), `${url} to be ready`);

  const answers: Answer[] = [];
  const load = openLoad(PER_SECOND, async (index) => {
    const replica = index % urls.length;
    const sentAt = performance.now();
    // A killed service does not answer; that is not a wrong answer.
    const answer = await post(`${urls[replica]}/install-token`, {}, { authorization: `Bearer ${API_KEY}` }).catch(
      () => undefined,
    );
    if (!answer) return;
    const { token, code } = answer.body;
    const got = typeof token === 'string' ? String(decodeJwt(token)['vid']) : String(code);
    answers.push({ sentAt, at: performance.now(), replica, got });
  });
  t.teardown(() => load.end());
  const answered = async (count: number) => {
    const before = answers.length;
    await until(() => answers.length >= before + count, `${count} more answers`);
  };
  const own = { ...common, WEBDIST_DATA_DIR: dataDirOf(0) };

  /**
   * Runs the change, observes the answers after it, and returns the seconds until the last wrong answer to a request that
   * was sent after the change.
   */
  const lastWrong = async (change: () => Promise<unknown>, right: string) => {
    await change();
    const end = performance.now();
    await delay(OBSERVED_MS);
    await answered(100);
    const late = answers.filter(({ sentAt, got }) => sentAt > end && got !== right);
    for (const { replica, got, sentAt } of late.slice(0, 3))
      t.comment(
        `service ${replica} answered ${got}, not ${right}, ${((sentAt - end) / 1000).toFixed(3)} s after the change`,
      );
    return Math.max(0, ...late.map(({ at }) => (at - end) / 1000));
  };
  const command = (args: string) => async () => {
    const { code, stderr } = await webdist(args.split(' '), own);
    t.equal(code, 0, `${args}: ${stderr}`);
  };
  const changes: readonly { name: string; order: string; right: string; undo: string; undone: string }[] = [
    { name: 'stop', order: 'keys stop --yes', right: 'not_registered', undo: 'keys resume', undone: '200' },
    { name: 'hold', order: 'packages hold 200 --yes', right: '100', undo: 'packages resume 200', undone: '200' },
    { name: 'use', order: 'packages use 100 --yes', right: '100', undo: 'packages use newest --yes', undone: '200' },
  ];
  await answered(PER_SECOND);
  t.equal(answers.at(-1)?.got, '200');

  const figures: string[] = [];
  const report = (name: string, seconds: readonly number[], most: number) => {
    const worst = Math.max(...seconds);
    t.ok(worst <= most, `${name}: ${worst.toFixed(3)} s at most, in ${seconds.length} rounds`);
    figures.push(`${name} ${worst.toFixed(3)} s`);
  };
  for (const { name, order, right, undo, undone } of changes) {
    const seconds: number[] = [];
    const waited: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      seconds.push(await lastWrong(command(order), right));
      await lastWrong(command(`${undo} --wait`), undone);
      waited.push(await lastWrong(command(`${order} --wait`), right));
      waited.push(await lastWrong(command(`${undo} --wait`), undone));
    }
    report(name, seconds, MOST_SECONDS);
    report(`${name} --wait`, waited, 0);
  }
  const revoked: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    revoked.push(await lastWrong(async () => writeKeys(`other:${'0'.repeat(64)}`), 'unauthorized'));
    await lastWrong(async () => writeKeys(`shop:${sha256}`), '200');
  }
  report('revoked API key', revoked, MOST_SECONDS);

  const afterKills: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    // A command that is killed has given the order to all or to none; the next one completes it.
    const killed = runWebdist(t, ['keys', 'stop', '--yes', '--wait'], own);
    await delay(150 * round);
    await killed.end('SIGKILL');
    const replica = round % urls.length;
    await running[replica]?.end('SIGKILL');
    await crash?.();
    afterKills.push(await lastWrong(command('keys stop --yes'), 'not_registered'));
    // It was down while the order was given.
    const restartedAt = performance.now();
    running[replica] = start(replica);
    await until(() => answers.some((one) => one.replica === replica && one.at > restartedAt), 'a restarted service');
    await answered(PER_SECOND);
    const since = answers.filter(({ at }) => at > restartedAt);
    t.strictSame([...new Set(since.map(({ got }) => got))], ['not_registered'], 'it starts with the order in force');
    await lastWrong(command('keys resume --wait'), '200');
  }
  report('stop, after kill -9', afterKills, MOST_SECONDS);

  const hanging = running[1]?.child;
  hanging?.kill('SIGSTOP');
  const stoppedAt = performance.now();
  // The time before the first `status` that shows it as silent, because starting that process takes seconds on a busy
  // machine.
  const givenAt = await until(async () => {
    const at = performance.now();
    const { replicas } = await status(own);
    const isSilent = replicas.some(({ id, state }) => id.includes(`-${hanging?.pid}-`) && state.startsWith('silent'));
    return isSilent && at;
  }, 'the hanging service in the status');
  report('SIGSTOP seen by status', [(givenAt - stoppedAt) / 1000], 10);
  hanging?.kill('SIGCONT');
  await load.end();
  t.comment(figures.join('; '), `${answers.length} answers`);
}

const status = (env: Environment) => webdistJson<{ replicas: { id: string; state: string }[] }>(['status'], env);

function settings(folder: string, more: Environment = {}): Environment {
  const dir = join(folder, 'packages');
  putVersion(dir, '100', '1.0.0');
  putVersion(dir, '200', '1.1.0');
  makeCurrent(dir, '200');
  return settingsIn(folder, {
    WEBDIST_PACKAGES_DIR: dir,
    WEBDIST_PACKAGES_URL: 'https://shop.example.com/adp',
    LOG_LEVEL: 'error',
    ...more,
  });
}

t.test('three services on one data folder', async (t) => {
  const folder = temporaryFolder(t);
  await measure(t, folder, { common: settings(folder), dataDirOf: () => join(folder, 'data') });
});

t.test('three replicas on PostgreSQL', { skip: noPostgres }, async (t) => {
  const server = await openPostgresServer();
  t.teardown(() => server.close());
  const folder = temporaryFolder(t);
  const common = settings(folder, {
    WEBDIST_LEDGER: await server.freshUrl(),
    WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
  });
  const crash = async () => {
    server.stop('immediate');
    await delay(1000);
    server.start();
  };
  await measure(t, folder, { common, dataDirOf: (replica) => join(folder, `data-${replica}`), crash });
});
