/** Paths that issue nothing are limited per address as well; health is not limited. */

import t from 'tap';
import { startSandbox } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';

t.test('documents, descriptions and metrics: a number of requests per minute, then 429 with Retry-After', async (t) => {
  const { url } = await startReady(t, await startSandbox(t), { WEBDIST_RATE_LIMIT_ADDRESS: '3' });
  for (const path of ['/install-button.js', '/openapi.json', '/metrics']) {
    const statuses: number[] = [];
    for (let n = 0; n < 4; n++) statuses.push((await fetch(url + path)).status);
    t.strictSame(statuses, [200, 200, 200, 429], path);
    const refused = await fetch(url + path);
    t.match(refused.headers.get('content-type'), 'application/problem+json', path);
    t.ok(Number(refused.headers.get('retry-after')) > 0, path);
    t.match(await refused.json(), { code: 'rate_limited', status: 429 }, path);
  }
  for (let n = 0; n < 10; n++) {
    t.equal((await fetch(`${url}/health/live`)).status, 200);
    t.equal((await fetch(`${url}/health/ready`)).status, 200);
  }
});
