/** `npm run dev`: the service starts in sandbox mode and starts again when a file in `src` changes. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { until } from '../harness/until.ts';

t.test('restarts after every change, also of a page, and signs each time', async (t) => {
  const cwd = temporaryFolder(t);
  for (const name of ['src', 'package.json']) cpSync(name, join(cwd, name), { recursive: true });
  symlinkSync(resolve('node_modules'), join(cwd, 'node_modules'));
  const env = { PATH: process.env['PATH'], PORT: '0' };
  const child = spawn('npm', ['run', 'dev'], { cwd, env, detached: true });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  const exited = once(child, 'close');
  t.teardown(async () => {
    // The group: npm, the watcher and the service.
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    await exited;
  });
  const started = (times: number) =>
    until(
      () => [...output.matchAll(/"event":"listening","address":"([^"]+)"/g)][times - 1]?.[1],
      () => `start ${times}\n${output}`,
    );
  const signs = async (url: string) => (await askToken(url)).status === 200;

  const first = await started(1);
  await until(() => signs(first), 'a token');
  appendFileSync(join(cwd, 'src/version.ts'), '\n');
  const second = await started(2);
  await until(() => signs(second), 'a token after a change');
  appendFileSync(join(cwd, 'src/sandbox/website/demo/demo.html'), '\n');
  t.not(await started(3), second, 'a new process listens');
});
