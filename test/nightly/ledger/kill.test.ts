/**
 * Services that share a file are killed (`kill -9`) repeatedly under load: everything they acknowledged is there, and
 * the file is intact.
 */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { openNonces } from '../../../src/install-token/nonce.ts';
import { derivedKey, existingLedgerSecret } from '../../../src/service/secret.ts';
import { subjectHashes } from '../../../src/service/subject.ts';
import { openProcess, type Process } from '../../harness/process.ts';
import { settingsIn } from '../../harness/service.ts';

const KILLS = 50;
/** Services on the file at the same time. */
const LANES = 3;
const WRITERS = 8;
/** Acknowledged before each kill, which then hits a random moment of what follows. */
const LEAST_ACKNOWLEDGED = 12;

t.setTimeout(180_000);

t.test(`${KILLS} times kill -9 under load loses no acknowledged install`, async (test) => {
  const folder = test.testdir();
  const env = settingsIn(folder, {
    WEBDIST_API_KEYS: `load:${await sha256Hex('load-key')}`,
    WEBDIST_LEDGER: `sqlite://${join(folder, 'ledger.sqlite')}`,
    // With `refuse`, an issued token has been recorded before; a busy moment leads to a refusal.
    WEBDIST_LEDGER_DOWN: 'refuse',
  });
  /** For services with WEBDIST_INSTALL_EVIDENCE=issue, where an issued token is an install. */
  const issued = new Set<string>();
  const confirmed = new Set<string>();
  const nonces = new Set<string>();
  let subjects = 0;

  const write = async ({ url }: Process, evidence: string, isOver: () => boolean, acknowledge: () => void) => {
    const send = (path: string, body: object) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer load-key' },
        body: JSON.stringify(body),
      });
    while (!isOver()) {
      const subject = `subject ${subjects++}`;
      try {
        const response = await send('/install-token', { subject });
        const { nonce } = (await response.json()) as { nonce: string };
        if (response.status === 503) continue;
        if (response.status !== 200) throw new Error(`status ${response.status}`);
        nonces.add(nonce);
        acknowledge();
        if (evidence === 'issue') issued.add(subject);
        else if ((await send('/installs', { nonce })).status === 204) confirmed.add(subject);
      } catch (error) {
        if (!isOver()) throw error;
      }
    }
  };

  let kills = 0;
  const lane = async (_: unknown, number: number) => {
    const evidence = number % 2 === 0 ? 'confirm' : 'issue';
    while (kills++ < KILLS) {
      const service = await openProcess({ ...env, WEBDIST_INSTALL_EVIDENCE: evidence });
      let acknowledged = 0;
      let killed = false;
      const isOver = () => killed;
      const writers = Array.from({ length: WRITERS }, () => write(service, evidence, isOver, () => acknowledged++));
      while (acknowledged < LEAST_ACKNOWLEDGED) await new Promise((resolve) => setTimeout(resolve, 1));
      for (let turns = Math.random() * 20; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      killed = true;
      await service.end('SIGKILL');
      await Promise.all(writers);
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));

  const database = new DatabaseSync(join(folder, 'ledger.sqlite'));
  test.teardown(() => database.close());
  test.equal(database.prepare('PRAGMA integrity_check').get()?.['integrity_check'], 'ok');
  const secret = (await existingLedgerSecret(join(folder, 'data'))) ?? '';
  const hash = subjectHashes(derivedKey(secret, 'subject'));
  const rows = database.prepare('SELECT subject FROM install').all();
  const kept = new Set(rows.map((row) => Number(row['subject'])));
  const lost = (from: Set<string>) => [...from].filter((id) => !kept.has(hash({ kind: 'caller', id }).tag));
  test.strictSame(lost(issued), [], 'every token that was handed out counts, where tokens count');
  test.strictSame(lost(confirmed), [], 'every confirmed install counts');
  const opener = openNonces(derivedKey(secret, 'nonce'), [env['WEBDIST_APPLE_ITEM_ID'] as string]);
  test.strictSame(
    [...nonces].filter((nonce) => opener.open(nonce, Date.now() / 1000)?.subject === undefined),
    [],
    'every issued token is known, whichever service issued it',
  );
  test.ok(
    nonces.size >= KILLS * LEAST_ACKNOWLEDGED && confirmed.size > KILLS / 2 && issued.size > KILLS / 4,
    `${nonces.size} tokens, ${confirmed.size} confirmed, ${issued.size} counted as issued`,
  );
});

async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Buffer.from(digest).toString('hex');
}
