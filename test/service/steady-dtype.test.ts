/** A `dtype` does not revert from `redownload` to `download`: replicas with different clocks, and other lifetimes. */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { noPostgres, sharedPostgres } from '../harness/postgres.ts';
import { settingsIn, startService } from '../harness/service.ts';

/** One device that has installed the app; requests its next token from any service. */
async function deviceOf(url: string) {
  const { body, cookie = '' } = await post(`${url}/install-token`, {});
  await post(`${url}/installs`, { nonce: body['nonce'] }, { cookie });
  return async (of: string) => (await post(`${of}/install-token`, {}, { cookie })).body['dtype'];
}

const secret = 'a secret for this test, long enough';

for (const skews of [
  [0, 10],
  [0, -10],
  [20, -20],
  [0, 59],
])
  t.test(`replicas whose clocks are ${skews.join(' s and ')} s off, on PostgreSQL`, { skip: noPostgres }, async (t) => {
    const server = await sharedPostgres();
    const url = await server.freshUrl();
    const env = settingsIn(temporaryFolder(t), { WEBDIST_LEDGER: url, WEBDIST_LEDGER_SECRET: secret });
    const replicas = await Promise.all(
      skews.map((seconds) => startService(t, undefined, env, { now: () => Date.now() + seconds * 1000 })),
    );
    const [first, second] = replicas.map((one) => one.url) as [string, string];
    const ask = await deviceOf(first);
    const turnAt = (when: string) =>
      server.admin(`UPDATE webdist_install SET redownload_at = extract(epoch FROM ${when})`, url.split('/').at(-1));
    await turnAt("now() + interval '1 second'");
    const answers: unknown[] = [];
    for (const end = Date.now() + 2500; Date.now() < end; )
      for (const replica of [first, second]) answers.push(await ask(replica));
    const turn = answers.indexOf('redownload');
    t.ok(turn > 0, `${turn} of ${answers.length} answers are downloads`);
    t.notOk(answers.includes('download', turn), 'and none afterwards');
  });

const lifetimes: [name: string, before: number, after: number][] = [
  ['raised', 60, 1200],
  ['raised to the longest', 60, 3600],
  ['raised a little', 1200, 1201],
  ['lowered', 1200, 60],
];

for (const [name, before, after] of lifetimes)
  t.test(`a lifetime that is ${name}`, async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'ledger.sqlite');
    let nowMs = Date.now();
    const start = (test: Test, lifetime: number, more: Environment = {}) =>
      startService(
        test,
        undefined,
        settingsIn(folder, { WEBDIST_LEDGER: `sqlite://${path}`, WEBDIST_TOKEN_LIFETIME: `${lifetime}`, ...more }),
        { now: () => nowMs },
      );
    const old = await start(t, before);
    const ask = await deviceOf(old.url);
    nowMs += (before - 1) * 1000;
    t.equal(await ask(old.url), 'download');
    // Both run for a while, as in a rolling restart.
    const renewed = await start(t, after);
    t.equal(await ask(renewed.url), 'download');
    nowMs += 1000;
    for (const { url } of [old, renewed, old, renewed]) t.equal(await ask(url), 'redownload');
    const database = new DatabaseSync(path);
    t.equal(database.prepare('SELECT redownload_at - installed_at AS n FROM install').get()?.['n'], before);
    database.close();
  });
