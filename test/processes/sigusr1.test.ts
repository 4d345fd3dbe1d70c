/** SIGUSR1 must not open Node's inspector, however webdist was started. */

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { spawnNode } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { until } from '../harness/until.ts';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));

/** The options of Node.js in a text: what stands between `node` and webdist's program. */
const optionsIn = (text: string): string[] => {
  const found = /\bnode'?"?,? (.*?)(?:\S*\/main\.[jt]s|\n)/.exec(text)?.[1] ?? '';
  return found.match(/--[\w=./-]+/g) ?? [];
};

const starts: Readonly<Record<string, readonly string[]>> = {
  'npm start': optionsIn(scripts.start),
  'npm run dev': optionsIn(scripts.dev),
  'npm run webdist': optionsIn(scripts.webdist),
  image: optionsIn(/^ENTRYPOINT.+/m.exec(readFileSync('Dockerfile', 'utf8'))?.[0] ?? ''),
  'compose.yaml': optionsIn(/entrypoint: \['node'.+/.exec(readFileSync('docker/compose.yaml', 'utf8'))?.[0] ?? ''),
  'compose.production.yaml': optionsIn(
    /entrypoint: .+/.exec(readFileSync('docker/compose.production.yaml', 'utf8'))?.[0] ?? '',
  ),
  systemd: optionsIn(/^ExecStart=.+/m.exec(readFileSync('deploy/systemd/webdist.service', 'utf8'))?.[0] ?? ''),
};

// It covers the milliseconds before webdist has a listener. The program's first line has no option, because an older
// Node.js would refuse it instead of naming the version that it needs.
t.test('every way to start webdist but the installed program has the option', async (t) => {
  for (const [name, options] of Object.entries(starts)) t.ok(options.includes('--disable-sigusr1'), name);
});

t.test('a SIGUSR1, then a SIGTERM', async (t) => {
  const { settings } = await startSandbox(t);
  const cases = { 'no option': [], 'npm start': starts['npm start'] };
  for (const [name, options = []] of Object.entries(cases)) {
    const env = { ...settings, PORT: '0', WEBDIST_DATA_DIR: temporaryFolder(t), WEBDIST_DRAIN_SECONDS: '1' };
    const child = spawnNode([...options, 'src/main.ts', 'serve'], env);
    t.teardown(() => child.kill('SIGKILL'));
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk));
    await until(
      () => output.includes('"event":"listening"'),
      () => `${name} to listen: ${output}`,
    );
    child.kill('SIGUSR1');
    child.kill('SIGTERM');
    await once(child, 'close');
    t.equal(child.exitCode, 0, `${name}: the process lived, and shut down in order`);
    t.notMatch(output, /Debugger listening|Starting inspector/, `${name}: no inspector`);
  }
});
