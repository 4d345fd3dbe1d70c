/**
 * Visitors of a service whose ledger is shared or moved. A third of the requests report an install. The others request a
 * token for an install that is two hours old, whose `dtype` must stay `redownload`.
 */

import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import type { InstallRecord } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { openLedgerOfSecret } from '../../src/ledger/secret-check.ts';
import { derivedKey, secretFingerprint } from '../../src/service/secret.ts';
import { subjectHashes } from '../../src/service/subject.ts';
import { type Answer, post } from './http.ts';
import { openLoad } from './load.ts';
import { settingsIn } from './service.ts';
import { until } from './until.ts';

export const PER_SECOND = 300;
/** Installs that are in the ledger from the start. */
export const OLD = 20_000;
const MOST_ATTEMPTS = 5;
const APP = '6500000001';
const SECRET = 'one secret of at least 32 characters';
const API_KEY = 'key-of-the-shop-0123456789';
const headers = { authorization: `Bearer ${API_KEY}` };
const hash = subjectHashes(derivedKey(SECRET, 'subject'));
const tagOf = (id: string) => hash({ kind: 'caller', id }).tag;
const oldSubject = (index: number) => `old-${index}`;

/** Settings of a service that these visitors may call. */
export const visitedSettings = (folder: string, dataDir: string, ledgerUrl: string): Environment =>
  settingsIn(folder, {
    // The harness waits for the event `listening`.
    LOG_LEVEL: 'info',
    WEBDIST_DATA_DIR: dataDir,
    WEBDIST_LEDGER: ledgerUrl,
    WEBDIST_LEDGER_SECRET: SECRET,
    // Otherwise a slow ledger would cause a `redownload` without an install.
    WEBDIST_LEDGER_DOWN: 'refuse',
    WEBDIST_API_KEYS: `shop:${createHash('sha256').update(API_KEY).digest('hex')}`,
  });

/** Creates the ledger with the old installs; returns the second of their evidence. */
export async function addOldInstalls(url: string): Promise<number> {
  const longAgo = Math.floor(Date.now() / 1000) - 7200;
  const ledger = await openLedgerOfSecret({ url }, secretFingerprint(SECRET), () => undefined);
  for (let from = 0; from < OLD; from += 200) {
    const installs = Array.from({ length: 200 }, (_, index) => ({
      subject: tagOf(oldSubject(from + index)),
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
  return longAgo;
}

/** Returns those of these subjects, and of the old ones, that are not in the ledger with their date. */
export async function lostIn(url: string, subjects: readonly string[], longAgo: number): Promise<readonly string[]> {
  const ledger = await openLedger(url);
  const found = new Map<number, InstallRecord>();
  await ledger.readAll(async (batch) => {
    for (const install of batch) found.set(install.subject, install);
  });
  await ledger.close();
  return [
    ...subjects.filter((subject) => !found.has(tagOf(subject))),
    ...Array.from({ length: OLD }, (_, index) => oldSubject(index)).filter(
      (subject) => found.get(tagOf(subject))?.installedAtSeconds !== longAgo,
    ),
  ];
}

/**
 * Sends requests until the test or `end` ends them; `urlOf` chooses the service. A request that gets 503 with Retry-After is
 * sent again after that time, and counted.
 */
export function openVisitors(t: Test, name: string, urlOf: (index: number) => string) {
  const acknowledged: string[] = [];
  const failed: string[] = [];
  /** By subject, whether the last token said `redownload`, and how often one said `download` after that. */
  const isRedownload = new Set<string>();
  const reverted: string[] = [];
  const send = async (index: number, path: string, body: object): Promise<Answer> => {
    for (let attempt = 0; ; attempt += 1) {
      const answer = await post(`${urlOf(index)}${path}`, body, headers);
      const retryAfterSeconds = Number(answer.headers.get('retry-after'));
      if (answer.status !== 503 || !(retryAfterSeconds > 0) || attempt === MOST_ATTEMPTS) return answer;
      sentAgain += 1;
      await delay(retryAfterSeconds * 1000);
    }
  };
  const install = async (index: number) => {
    const subject = `${name}-${index}`;
    const { status } = await send(index, '/installs', { app: APP, subject });
    if (status === 204) acknowledged.push(subject);
    else failed.push(`install ${status}`);
  };
  const issue = async (index: number) => {
    const subject = oldSubject((index * 7919) % OLD);
    const wasRedownload = isRedownload.has(subject);
    const { status, body } = await send(index, '/install-token', { subject });
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
    end: () => load.end(),
  };
}
