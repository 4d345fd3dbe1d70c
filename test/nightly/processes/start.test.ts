/** Many services that start at the same moment with the same account. */

import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { askToken } from '../../harness/http.ts';
import { startProcess } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { isReady } from '../../harness/service.ts';

t.test('ten services started at once register one key and one domain, and sign with that key', async (t) => {
  const sandbox = await startSandbox(t);
  const services = await Promise.all(
    Array.from({ length: 10 }, () => startProcess(t, { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) })),
  );
  await Promise.all(services.map(({ url }) => isReady(url)));
  const answers = await Promise.all(
    services.map(async ({ url }) => (await (await askToken(url)).json()) as { keyId: string; token: string }),
  );
  t.equal(new Set(answers.map((answer) => answer.keyId)).size, 1, 'one key id');
  const log = (await (await fetch(`${sandbox.baseUrl}/_sandbox/requests`)).json()) as {
    method: string;
    path: string;
    status: number;
  }[];
  const created = log.filter(({ method, status }) => method === 'POST' && status === 201).map(({ path }) => path);
  t.strictSame(created.sort(), ['/v1/alternativeDistributionDomains', '/v1/alternativeDistributionKeys']);
  for (const { token } of answers) t.equal((await sandbox.device({ token })).accepted, true);
});
