/**
 * The package of the server as a user gets it: its tarball, in an empty folder, with everything from the registry, on each
 * version of Node.js in `engines`. No development tools, no SDKs, no scripts that run at install.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { askToken } from '../../harness/http.ts';
import { builtPackage, pack, runProgram } from '../../harness/package.ts';
import { freePort } from '../../harness/port.ts';
import { noRegistry } from '../../harness/registry.ts';
import { until } from '../../harness/until.ts';

const MOST_PACKAGES = 150;
const MOST_UNPACKED_BYTES = 2_500_000;

const { version, engines, peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'));
/** Such as `24` and `26`. */
const majors: readonly string[] = [...engines.node.matchAll(/\^(\d+)/g)].map(([, major]) => major);

const emptyFolder = (t: Test, description: object = { private: true }) => {
  const folder = join(temporaryFolder(t), 'home');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify(description));
  return folder;
};

/** Starts a shell command in a folder, and returns the seconds until `url` gives a token. It is stopped like with Ctrl-C. */
async function secondsToToken(t: Test, command: string, cwd: string, path: string): Promise<number> {
  const port = await freePort();
  const start = performance.now();
  const child: ChildProcess = spawn('env', ['-u', 'NODE_OPTIONS', 'sh', '-c', command], {
    cwd,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    // npm's own settings can be in the environment.
    env: { ...process.env, PATH: path, PORT: `${port}` },
  });
  const closed = once(child, 'close');
  t.teardown(async () => {
    if (child.exitCode === null && child.pid) process.kill(-child.pid, 'SIGINT');
    await closed;
  });
  let log = '';
  child.stdout?.on('data', (chunk) => (log += chunk));
  await until(
    async () => (await askToken(`http://127.0.0.1:${port}`).catch(() => undefined))?.ok,
    () => log,
    180,
  );
  return (performance.now() - start) / 1000;
}

t.test('the tarball, installed', { skip: noRegistry, timeout: 1_200_000 }, async (t) => {
  const tarballs = temporaryFolder(t);
  const { filename, unpackedSize } = pack(await builtPackage(), tarballs);
  const tarball = join(tarballs, filename);
  t.ok(unpackedSize < MOST_UNPACKED_BYTES, `${unpackedSize} bytes unpacked`);
  t.ok(majors.length >= 2, `Node.js ${majors.join(' and ')}`);

  for (const major of majors)
    await t.test(`Node.js ${major}`, async (t) => {
      const node = emptyFolder(t, { private: true, allowScripts: { node: true } });
      runProgram('npm', ['install', '--silent', `node@${major}`], node);
      const path = `${join(node, 'node_modules/.bin')}:${process.env['PATH']}`;
      const home = emptyFolder(t);
      const run = (...command: string[]) => runProgram('env', [`PATH=${path}`, ...command], home);
      t.match(run('node', '--version'), `v${major}.`);

      const before = performance.now();
      run('npm', 'install', '--no-audit', '--no-fund', tarball);
      const seconds = (performance.now() - before) / 1000;
      const locked = JSON.parse(readFileSync(join(home, 'package-lock.json'), 'utf8')).packages;
      const packages = Object.keys(locked).filter(Boolean);
      t.ok(packages.length <= MOST_PACKAGES, `${packages.length} packages in ${seconds.toFixed(1)} s`);
      const sdks = Object.keys(peerDependencies).filter((name) => packages.includes(`node_modules/${name}`));
      t.strictSame(sdks, [], 'no SDK');
      const scripts = packages.filter((name) => locked[name].hasInstallScript);
      t.strictSame(scripts, [], 'nothing runs at install');
      t.notOk(readdirSync(join(home, 'node_modules/webdist')).includes('src'), 'only what is built');

      t.equal(run('npx', 'webdist', '--version'), `${version}\n`);
      t.match(run('npx', 'webdist'), /^ {2}npx webdist serve$/m);
      const doctor = run('sh', '-c', 'npx webdist doctor --json; echo "exit $?"');
      t.match(doctor, /^\{.*"id":"settings".*\}\nexit 1\n$/, 'the doctor names what is not set');
      const token = await secondsToToken(t, 'npx webdist serve', home, path);
      t.pass(`a token ${token.toFixed(1)} s after npx webdist serve`);
    });

  await t.test('a token in one line, from the tarball alone', async (t) => {
    const oneLine = `npx --yes --package=${tarball} webdist serve`;
    const path = `${dirname(process.execPath)}:${process.env['PATH']}`;
    const seconds = await secondsToToken(t, oneLine, emptyFolder(t), path);
    t.pass(`after ${seconds.toFixed(1)} s`);
  });
});
