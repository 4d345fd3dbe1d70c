/** The package of the server as a user gets it: its tarball, installed with all its dependencies from the registry, and started. */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { askToken } from '../../harness/http.ts';
import { builtPackage, pack, runProgram } from '../../harness/package.ts';
import { openProcess } from '../../harness/process.ts';
import { noRegistry } from '../../harness/registry.ts';
import { isReady } from '../../harness/service.ts';

t.test('npm install of the tarball', { skip: noRegistry, timeout: 600_000 }, async (t) => {
  const folder = temporaryFolder(t);
  const { filename } = pack(await builtPackage(), folder);
  const home = join(folder, 'home');
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{"private":true}');
  runProgram('npm', ['install', '--no-audit', '--no-fund', join(folder, filename)], home);
  const installed = join(home, 'node_modules/webdist');
  t.notOk(readdirSync(installed).includes('src'), 'only what is built');
  const { version } = JSON.parse(readFileSync('package.json', 'utf8'));
  t.equal(runProgram(join(home, 'node_modules/.bin/webdist'), ['--version'], home).trim(), version);
  const service = await openProcess(
    { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: join(folder, 'data') },
    join(installed, 'dist/main.js'),
  );
  t.teardown(() => service.end('SIGKILL'));
  await isReady(service.url);
  t.match(await (await askToken(service.url)).json(), { token: /^eyJ/ });
  service.child.kill('SIGINT');
  t.equal(await service.exited, 0);
});
