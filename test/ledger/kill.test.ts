/** kill -9 of services that share a file, again and again under load: what they acknowledged is there, and the file is sound. */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { openProcess, type Process } from '../harness/process.ts';
import { settingsIn } from '../harness/service.ts';

const KILLS = 50;
/** Services on the file at the same time. */
const LANES = 3;
const WRITERS = 8;
/** Acknowledged before each kill; the kill then falls at random into what comes next. */
const LEAST_ACKNOWLEDGED = 12;

t.setTimeout(180_000);

t.test(`${KILLS} times kill -9 under load loses no acknowledged record`, async (test) => {
  const folder = test.testdir();
  const env = settingsIn(folder, {
    WEBDIST_API_KEYS: `load:${await sha256Hex('load-key')}`,
    WEBDIST_LEDGER: `sqlite://${join(folder, 'ledger.sqlite')}`,
    // Then every token that is handed out has been recorded before; a busy moment is a refusal.
    WEBDIST_LEDGER_DOWN: 'refuse',
  });
  const issued = new Set<string>();
  const confirmed = new Set<string>();
  let subjects = 0;

  const write = async ({ url }: Process, isOver: () => boolean, acknowledge: () => void) => {
    const send = (path: string, body: object) =>
      fetch(`${url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer load-key' },
        body: JSON.stringify(body),
      });
    while (!isOver()) {
      try {
        const response = await send('/install-token', { subject: `subject ${subjects++}` });
        const { nonce } = (await response.json()) as { nonce: string };
        if (response.status === 503) continue;
        if (response.status !== 200) throw new Error(`status ${response.status}`);
        issued.add(nonce);
        acknowledge();
        const evidence = await send('/installs', { nonce });
        if (evidence.status === 204) confirmed.add(nonce);
      } catch (error) {
        if (!isOver()) throw error;
      }
    }
  };

  let kills = 0;
  const lane = async () => {
    while (kills++ < KILLS) {
      const service = await openProcess(env);
      let acknowledged = 0;
      let killed = false;
      const writers = Array.from({ length: WRITERS }, () =>
        write(
          service,
          () => killed,
          () => acknowledged++,
        ),
      );
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
  const nonces = (sql: string) =>
    new Set(
      database
        .prepare(sql)
        .all()
        .map((row) => String(row['nonce'])),
    );
  const recorded = nonces('SELECT hex(nonce) AS nonce FROM install_token');
  const counted = nonces('SELECT hex(nonce) AS nonce FROM install_token JOIN install USING (subject, apple_item_id)');
  const lost = (from: Set<string>, kept: Set<string>) => [...from].filter((one) => !kept.has(one.replaceAll('-', '')));
  test.strictSame(lost(issued, recorded), [], 'every token that was handed out is remembered');
  test.strictSame(lost(confirmed, counted), [], 'every confirmed install counts');
  test.ok(
    issued.size >= KILLS * LEAST_ACKNOWLEDGED && confirmed.size > KILLS,
    `${issued.size} tokens, ${confirmed.size} installs`,
  );
});

async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Buffer.from(digest).toString('hex');
}
