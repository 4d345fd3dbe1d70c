/** Continuous SIGHUPs to a real service do not flood App Store Connect with requests. */

import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { startProcess } from '../../harness/process.ts';
import { requestsSeen, startSandbox } from '../../harness/sandbox.ts';
import { isReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

t.test('2,700 SIGHUPs in ten seconds cause a few checks, the first one at once', async (t) => {
  const sandbox = await startSandbox(t);
  const service = await startProcess(t, { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) });
  await isReady(service.url);
  await until(
    async () => (await requestsSeen(sandbox)).some((seen) => seen.includes('POST /v1/alternativeDistributionDomains')),
    'the first check',
  );
  await fetch(`${sandbox.baseUrl}/_sandbox/requests`, { method: 'DELETE' });
  const startedAt = performance.now();
  for (let sent = 0; sent < 2700; sent += 27) {
    for (let index = 0; index < 27; index += 1) service.child.kill('SIGHUP');
    await delay(100);
  }
  t.equal((await fetch(`${service.url}/health/ready`)).status, 200);
  const seen = await requestsSeen(sandbox);
  const seconds = (performance.now() - startedAt) / 1000;
  t.ok(seen.length >= 1 && seen.length <= 2 * seconds, `${seen.length} requests to Apple in ${seconds} s`);
});
