/** `webdist status` shows who checks at App Store Connect, and how many requests are left. */

import t from 'tap';
import { openOrderStore } from '../../src/orders/store.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { settingsIn, startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

t.test('a service that checks', async (t) => {
  const sandbox = await startSandbox(t, { requestsPerHour: 3500 });
  const env = { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) };
  const { url } = await startReady(t, sandbox, env);
  const store = await openOrderStore({ dataDir: env.WEBDIST_DATA_DIR, ledger: { url: 'memory:' } });
  const [report] = await until(async () => {
    const replicas = await store.replicas();
    return replicas[0]?.apple.remaining !== null && replicas;
  }, 'a report with the budget');
  t.match(report?.apple, { limit: 3500, remaining: Number, checkedAt: /^\d{4}-\d\d-\d\dT/ });
  t.match(await webdist(['status'], env), {
    code: 0,
    stdout: /^CHECKS AT APPLE +LAST CHECK +REQUESTS LEFT\n\S+ +2\S+Z +3\d+ of 3500 in this hour$/m,
  });
  t.match(await (await fetch(`${url}/metrics`)).text(), /^webdist_registration_checks_total [1-9]/m);
});

t.test('a service that never calls Apple', async (t) => {
  const folder = temporaryFolder(t);
  const env = settingsIn(folder);
  await startReady(t, undefined, env);
  const store = await openOrderStore({ dataDir: String(env['WEBDIST_DATA_DIR']), ledger: { url: 'memory:' } });
  const [report] = await until(async () => {
    const replicas = await store.replicas();
    return replicas.length > 0 && replicas;
  }, 'a report');
  t.match(report?.apple, { limit: null, remaining: null, checkedAt: null });
  t.notMatch((await webdist(['status'], env)).stdout, /REQUESTS LEFT/);
});
