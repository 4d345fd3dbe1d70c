/** The built program: `dist/main.js` runs as the npm package installs it, and as `node dist/main.js`. */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { builtPackage } from '../../harness/package.ts';
import { until } from '../../harness/until.ts';

/** For `env`: tap passes its modules to every process in NODE_OPTIONS. */
const withoutTap = ['-u', 'NODE_OPTIONS'];

t.test('from a build', async (t) => {
  const main = join(await builtPackage(), 'dist/main.js');
  const start = (command: string, args: readonly string[]) => {
    const child = spawn('env', [...withoutTap, command, ...args], {
      env: {
        PATH: `${dirname(process.execPath)}${delimiter}${process.env['PATH']}`,
        WEBDIST_DATA_DIR: temporaryFolder(t),
      },
    });
    t.teardown(() => child.kill('SIGKILL'));
    return { child, stdout: text(child.stdout), stderr: text(child.stderr) };
  };

  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  t.equal(await start(main, ['--version']).stdout, `${version}\n`);

  // Node.js takes --env-file as its own option, unless a "--" stands before the program.
  const ways: Readonly<Record<string, (file: string) => readonly [string, ...string[]]>> = {
    'by its shebang': (file) => [main, 'sandbox', '--env-file', file],
    'node -- dist/main.js': (file) => [process.execPath, '--', main, 'sandbox', '--env-file', file],
    'node dist/main.js --': (file) => [process.execPath, main, '--', 'sandbox', '--env-file', file],
    'node dist/main.js -e': (file) => [process.execPath, main, 'sandbox', '-e', file],
  };
  for (const [way, command] of Object.entries(ways))
    await t.test(`sandbox writes its settings to a file: ${way}`, async (t) => {
      const file = join(temporaryFolder(t), 'sandbox.env');
      const [program, ...args] = command(file);
      const { child, stdout } = start(program, args);
      let log = '';
      child.stderr.on('data', (chunk) => (log += chunk));
      // Printed once the file is complete.
      await until(
        () => log.includes('listens on') || child.exitCode !== null,
        () => log,
      );
      t.match(readFileSync(file, 'utf8'), /^ASC_BASE_URL=http:\/\/127\.0\.0\.1:\d+\n/);
      child.kill('SIGTERM');
      t.equal(await stdout, '');
    });

  await t.test('sandbox prints its settings', async (t) => {
    const { child, stdout, stderr } = start(process.execPath, [main, 'sandbox', '--json']);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    await until(() => output.endsWith('\n'), 'the settings');
    child.kill('SIGTERM');
    t.match(JSON.parse(await stdout), { ASC_BASE_URL: /^http:/, WEBDIST_DOMAIN: 'example.com' });
    t.match(await stderr, /listens on/);
  });
});
