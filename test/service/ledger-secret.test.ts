/** A ledger is used with one secret only, on every backend that keeps installs. */

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openLedger } from '../../src/ledger/ledger.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { noPostgres, openPostgresServer, sharedPostgres } from '../harness/postgres.ts';
import { webdist } from '../harness/process.ts';
import { settingsIn, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const ONE = 'the secret of the first service, which owns it';
const OTHER = 'another secret, of a service set up later';
const REFUSED = {
  code: 'state_invalid',
  detail: 'The ledger was written with another WEBDIST_LEDGER_SECRET.',
  hint: /^Set the secret of the other replicas or of the backup, or set WEBDIST_LEDGER to an empty ledger\.$/,
};

const backends = {
  sqlite: { skip: false, freshUrl: async (test: Test) => `sqlite://${join(temporaryFolder(test), 'ledger.sqlite')}` },
  postgres: { skip: noPostgres, freshUrl: async () => (await sharedPostgres()).freshUrl() },
};

/** Starts services on one ledger, each with its own data folder. */
const servicesOf = (test: Test, url: string) => {
  const env = settingsIn(temporaryFolder(test), { WEBDIST_LEDGER: url });
  const settings = (secret: string) => ({ ...env, WEBDIST_LEDGER_SECRET: secret });
  return { settings, start: (secret: string) => startService(test, undefined, settings(secret)) };
};

for (const [name, { skip, freshUrl }] of Object.entries(backends))
  await t.test(name, { skip }, async (test) => {
    const url = await freshUrl(test as Test);
    const { settings, start } = servicesOf(test as Test, url);

    const atOnce = await Promise.allSettled([start(ONE), start(OTHER)]);
    const started = atOnce.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    const refusals = atOnce.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
    test.equal(started.length, 1, 'of two services with two secrets that start at once, one starts');
    test.match(refusals, [REFUSED]);
    const [owner, stranger] = atOnce[0]?.status === 'fulfilled' ? [ONE, OTHER] : [OTHER, ONE];

    await start(owner);
    await test.rejects(start(stranger), REFUSED, 'with another one beside it');
    await started[0]?.stop();
    await start(owner);
    await test.rejects(start(stranger), REFUSED, 'after a restart');

    const ledger = await openLedger(url);
    test.teardown(() => ledger.close());
    const fingerprint = await ledger.secretFingerprint();
    test.match(fingerprint, /^[0-9a-f]{64}$/);
    test.notOk(fingerprint?.includes(Buffer.from(owner).toString('hex').slice(0, 16)), 'it is not the secret');

    const stats = (secret: string) => webdist(['ledger', 'stats'], settings(secret));
    test.match(await stats(owner), { code: 0 }, 'the command line, with the right secret');
    test.match(await stats(stranger), { code: 1, stderr: /another WEBDIST_LEDGER_SECRET/ }, 'and with another');
    const doctor = await webdist(['doctor', '--json'], settings(stranger));
    test.match(doctor.stdout, /another WEBDIST_LEDGER_SECRET/, 'the doctor');
  });

await t.test('the command line does not tie an empty ledger to its secret', async (test) => {
  const url = `sqlite://${join(temporaryFolder(test as Test), 'ledger.sqlite')}`;
  await (await openLedger(url)).close();
  const { settings, start } = servicesOf(test as Test, url);
  test.match(await webdist(['ledger', 'stats'], settings(OTHER)), { code: 0 });
  await start(ONE);
});

await t.test(
  'a PostgreSQL that is down at the start is checked when it is back',
  { skip: noPostgres },
  async (test) => {
    const server = await openPostgresServer();
    test.teardown(() => server.close());
    const url = await server.freshUrl();
    const { start } = servicesOf(test as Test, url);
    const first = await start(ONE);
    server.stop('fast');
    const [same, other] = [await start(ONE), await start(OTHER)];
    server.start();

    await until(() => same.service.health().ledger.state === 'ok', 'the right secret is used');
    const { cookie = '', body } = await post(`${other.url}/install-token`, {});
    const evidence = () => post(`${other.url}/installs`, { nonce: body['nonce'] }, { cookie });
    await until(() => other.log.text().includes('another WEBDIST_LEDGER_SECRET'), 'the log has the reason');
    test.match(other.service.health().ledger, { state: 'degraded', detail: /another WEBDIST_LEDGER_SECRET/ });
    test.equal((await evidence()).status, 503);
    const { body: returning } = await post(`${other.url}/install-token`, {}, { cookie });
    test.equal(returning['dtype'], 'redownload', 'as while the ledger is down');
    await until(() => first.service.health().ledger.state === 'ok', 'the first one is back');
    const rows = await server.admin('SELECT 1 FROM webdist_install', url);
    test.strictSame(rows, []);
  },
);
