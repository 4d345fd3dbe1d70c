/** Every command of docs/first-install.md, in its order and in an empty folder, up to the app on the simulated device. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { freePort } from '../../harness/port.ts';
import { spawnNode } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const page = readFileSync('docs/first-install.md', 'utf8');
/** What the reader expects of each command; a command that keeps running is left running. */
const expected: readonly (readonly [command: RegExp, code: number | 'running', output: RegExp])[] = [
  [/^mkdir /, 0, /^$/],
  [/ sandbox --port /, 'running', /The simulated App Store Connect listens on/],
  [/ init /, 0, /^ok {4}app {6}Trail Map com\.example\.trailmap[\s\S]+wrote .+my-service\/\.env\n/],
  [/^set -a; \. my-service/, 0, /^$/],
  [/ packages pull$/, 0, /com\.example\.trailmap {2}\d+ {2}pulled and checked, current/],
  [/^npm start$/, 'running', /"event":"listening"/],
  [/^curl /, 0, /^/],
  [/ doctor$/, 1, /^fail {2}licence-endpoints[\s\S]+ 1 fail, /m],
  // Only a real website has the page.
  [/ doctor --public /, 1, /^fail {2}page-reachable[\s\S]+ 2 fail, /m],
  [/ sandbox device install /, 0, /^install\n( {2}ok .*\n)+$/],
];

t.test('the commands of the page', { timeout: 180_000 }, async (t) => {
  const [sandboxPort, servicePort] = [await freePort(), await freePort()];
  const commands = [...page.matchAll(/^```sh\n([\s\S]*?)\n```$/gm)].map(([, command = '']) =>
    command.replaceAll('8090', String(sandboxPort)).replaceAll('8080', String(servicePort)),
  );
  const cwd = temporaryFolder(t);
  const url = `http://127.0.0.1:${servicePort}`;
  /** The environment of the reader's terminal. */
  let terminal: Record<string, string> = { PATH: process.env['PATH'] ?? '', PORT: String(servicePort) };

  t.equal(commands.length, expected.length, 'every command has a row');
  for (const [index, command] of commands.entries()) {
    const [form, code, output] = expected[index] ?? [/^$/, 0, /^$/];
    t.match(command, form);
    const args =
      /^npm run -s webdist -- (.+)$/.exec(command)?.[1]?.split(' ') ??
      (command === 'npm start' ? ['serve'] : undefined);
    if (args === undefined) {
      const shell = spawn('bash', ['-c', `${command} >&2; env -0`], { cwd, env: terminal });
      const [variables, , [status]] = await Promise.all([text(shell.stdout), text(shell.stderr), once(shell, 'close')]);
      t.equal(status, 0, command);
      terminal = Object.fromEntries(
        variables
          .split('\0')
          .filter(Boolean)
          .map((pair) => [pair.replace(/=.*/s, ''), pair.replace(/^[^=]*=/, '')]),
      );
      continue;
    }
    const child = spawnNode(['--', resolve('src/main.ts'), ...args], terminal, { cwd });
    t.teardown(() => child.kill('SIGKILL'));
    let written = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (written += chunk));
    if (code === 'running') {
      await until(
        () => output.test(written),
        () => `${command}\n${written}`,
      );
      if (command === 'npm start') await isReady(url);
    } else {
      await once(child, 'close');
      t.equal(child.exitCode, code, `${command}\n${written}`);
      t.match(written, output, command);
    }
  }
});
