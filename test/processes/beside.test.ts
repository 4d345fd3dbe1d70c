/** docs/sandbox.md, "Beside a service": the env file of `webdist sandbox` is all that a service needs. */

import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { runWebdist, startProcess } from '../harness/process.ts';
import { isReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

t.test('a service with the settings that the sandbox wrote issues a token', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'sandbox.env');
  const sandbox = runWebdist(t, ['sandbox', '--env-file', file], { WEBDIST_DATA_DIR: folder });
  await until(() => sandbox.output().includes('listens on'), 'the sandbox');
  t.equal(statSync(file).mode & 0o777, 0o600, 'private keys are in it');

  const { url } = await startProcess(t, {
    ...(parseEnv(readFileSync(file, 'utf8')) as Record<string, string>),
    WEBDIST_DATA_DIR: folder,
  });
  await isReady(url);
  t.equal((await askToken(url)).status, 200);
});
