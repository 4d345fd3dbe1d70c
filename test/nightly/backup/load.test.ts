/**
 * A backup and a restore under 300 requests a second, with SQLite and with PostgreSQL: no request fails, no acknowledged
 * install is lost, and no device that got `redownload` gets `download` again. A request that gets 503 with Retry-After is sent again
 * after that time, and counted: on a busy machine, the ledger's limit of 200 ms causes some without a backup, too.
 */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import type { InstallRecord } from '../../../src/ledger/contract.ts';
import { openLedger } from '../../../src/ledger/ledger.ts';
import { openLedgerOfSecret } from '../../../src/ledger/secret-check.ts';
import { derivedKey, secretFingerprint } from '../../../src/service/secret.ts';
import { subjectHashes } from '../../../src/service/subject.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { type Answer, post } from '../../harness/http.ts';
import { openLoad } from '../../harness/load.ts';
import { noPostgres, sharedPostgres } from '../../harness/postgres.ts';
import { openProcess, webdist } from '../../harness/process.ts';
import { isReady, settingsIn } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const PER_SECOND = 300;
/** Installs that are in the ledger from the start, two hours old. */
const OLD = 20_000;
const MOST_ATTEMPTS = 5;
const APP = '6500000001';
const SECRET = 'one secret of at least 32 characters';
const API_KEY = 'key-of-the-shop-0123456789';
const headers = { authorization: `Bearer ${API_KEY}` };
const hash = subjectHashes(derivedKey(SECRET, 'subject'));
const tagOf = (id: string) => hash({ kind: 'caller', id }).tag;

/** A service, and visitors who install (a third of the requests) or request a token for one of the old installs. */
async function openLoadedService(t: Test, env: Environment, visitor: string) {
  const service = await openProcess(env);
  t.teardown(() => service.end('SIGKILL'));
  await isReady(service.url);
  const acknowledged: string[] = [];
  const failed: string[] = [];
  /** By subject, whether the last token said `redownload`, and how often one said `download` after that. */
  const isRedownload = new Set<string>();
  const reverted: string[] = [];
  const send = async (path: string, body: object): Promise<Answer> => {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await post(`${service.url}${path}`, body, headers);
      const retryAfterSeconds = Number(answer.headers.get('retry-after'));
      if (answer.status !== 503 || !(retryAfterSeconds > 0) || attempt === MOST_ATTEMPTS) return answer;
      sentAgain += 1;
      await delay(retryAfterSeconds * 1000);
    }
  };
  const install = async (index: number) => {
    const subject = `${visitor}-${index}`;
    const { status } = await send('/installs', { app: APP, subject });
    if (status === 204) acknowledged.push(subject);
    else failed.push(`install ${status}`);
  };
  const issue = async (index: number) => {
    const subject = `old-${(index * 7919) % OLD}`;
    const wasRedownload = isRedownload.has(subject);
    const { status, body } = await send('/install-token', { subject });
    if (status !== 200) failed.push(`token ${status} ${String(body['code'])}`);
    else if (body['dtype'] === 'redownload') isRedownload.add(subject);
    else if (wasRedownload) reverted.push(subject);
  };
  let answers = 0;
  let sentAgain = 0;
  const load = openLoad(PER_SECOND, async (index) => {
    await (index % 3 === 0 ? install(index) : issue(index)).catch((error) => failed.push(String(error)));
    answers += 1;
  });
  t.teardown(() => load.end());
  return {
    acknowledged,
    failed,
    reverted,
    isRedownload,
    answers: () => answers,
    sentAgain: () => sentAgain,
    more: async (count: number) => {
      const before = answers;
      await until(() => answers >= before + count, `${count} more answers`);
    },
    async end() {
      await load.end();
      await service.end('SIGKILL');
    },
  };
}

async function tagsIn(url: string): Promise<Map<number, InstallRecord>> {
  const ledger = await openLedger(url);
  const found = new Map<number, InstallRecord>();
  await ledger.readAll(async (batch) => {
    for (const install of batch) found.set(install.subject, install);
  });
  await ledger.close();
  return found;
}

/** `urlOf` returns the URL of an empty ledger for this data folder. */
async function measure(t: Test, urlOf: (dataDir: string) => Promise<string>) {
  const folder = temporaryFolder(t);
  const settings = async (name: string): Promise<Environment & { readonly url: string }> => {
    const dataDir = join(folder, name);
    const url = await urlOf(dataDir);
    return {
      ...settingsIn(folder, { LOG_LEVEL: 'info', WEBDIST_DATA_DIR: dataDir, WEBDIST_LEDGER: url }),
      WEBDIST_LEDGER_SECRET: SECRET,
      // Otherwise a slow ledger would cause a `redownload` without an install.
      WEBDIST_LEDGER_DOWN: 'refuse',
      WEBDIST_API_KEYS: `shop:${createHash('sha256').update(API_KEY).digest('hex')}`,
      url,
    };
  };
  const { url: firstUrl, ...first } = await settings('first');
  const longAgo = Math.floor(Date.now() / 1000) - 7200;
  const ledger = await openLedgerOfSecret({ url: firstUrl }, secretFingerprint(SECRET), () => undefined);
  for (let from = 0; from < OLD; from += 200) {
    const installs = Array.from({ length: 200 }, (_, index) => ({
      subject: tagOf(`old-${from + index}`),
      appleItemId: APP,
      installedAtSeconds: longAgo,
      redownloadAtSeconds: longAgo + 1200,
    }));
    const add = () =>
      ledger.addInstalls(installs).then(
        () => true,
        () => false,
      );
    await until(add, 'the old installs');
  }
  await ledger.close();

  const before = await openLoadedService(t, first, 'first');
  await before.more(PER_SECOND);
  const promised = [...before.acknowledged];
  const file = join(folder, 'webdist.backup');
  const backupBegan = performance.now();
  const written = await webdist(['backup', '--out', file], first);
  const backupSeconds = (performance.now() - backupBegan) / 1000;
  t.equal(written.code, 0, written.stderr);
  await before.more(PER_SECOND);
  await before.end();
  t.strictSame([before.failed, before.reverted], [[], []], 'during the backup');

  const { url: secondUrl, ...second } = await settings('second');
  const after = await openLoadedService(t, second, 'second');
  await after.more(PER_SECOND);
  t.equal(after.isRedownload.size, 0, 'the new ledger does not know the old installs');
  const refused = await webdist(['restore', file], second);
  t.match(refused, { code: 2, stderr: /needs confirmation: Restore 2\d+ installs/ });
  const restoreBegan = performance.now();
  const restored = await webdist(['restore', file, '--yes'], second);
  const restoreSeconds = (performance.now() - restoreBegan) / 1000;
  t.equal(restored.code, 0, restored.stderr);
  await after.more(2 * PER_SECOND);
  await after.end();
  t.strictSame([after.failed, after.reverted], [[], []], 'during the restore');
  t.ok(after.isRedownload.size > PER_SECOND / 2, 'the old installs are known again');

  const found = await tagsIn(secondUrl);
  const lost = [...promised, ...after.acknowledged].filter((subject) => !found.has(tagOf(subject)));
  const lostOld = Array.from({ length: OLD }, (_, index) => `old-${index}`).filter(
    (subject) => found.get(tagOf(subject))?.installedAtSeconds !== longAgo,
  );
  t.strictSame([lost, lostOld], [[], []], 'no install is lost');
  t.comment(
    `${before.answers() + after.answers()} requests, 0 failed, ${before.sentAgain() + after.sentAgain()} sent again; ${found.size} installs, 0 lost;`,
    `backup ${backupSeconds.toFixed(1)} s, restore ${restoreSeconds.toFixed(1)} s`,
  );
}

t.test('SQLite', (t) => measure(t, async (dataDir) => `sqlite://${dataDir}/ledger.sqlite`));

t.test('PostgreSQL', { skip: noPostgres }, async (t) => {
  const postgres = await sharedPostgres();
  await measure(t, () => postgres.freshUrl());
});
