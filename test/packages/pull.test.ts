/** Packages from the simulated App Store Connect into a folder: whole or not at all (apple-facts §5). */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { readManifestFile } from '../../src/packages/manifest.ts';
import { buildPackageServer } from '../../src/packages/serve.ts';
import { verifyPackage } from '../../src/packages/verify.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { runWebdist, startReady, startSandbox, temporaryFolder, until } from '../running.ts';

const APP = '6500000001';

type Setting = { sandbox: Sandbox; env: Record<string, string>; dir: string };

async function start(t: Test, settings: Record<string, string> = {}): Promise<Setting> {
  const sandbox = await startSandbox(t);
  const dir = temporaryFolder(t);
  return {
    sandbox,
    dir,
    env: { ...sandbox.settings, WEBDIST_PACKAGES_DIR: dir, WEBDIST_DATA_DIR: temporaryFolder(t), ...settings },
  };
}

async function run(t: Test, { env }: Pick<Setting, 'env'>, ...args: string[]) {
  const running = runWebdist(t, ['packages', ...args], env);
  return { code: await running.exited, output: running.output() };
}

const release = ({ sandbox }: Setting) => fetch(`${sandbox.baseUrl}/_sandbox/packages`, { method: 'POST' });
const slow = ({ sandbox }: Setting, bytesPerSecond: number | null) =>
  fetch(`${sandbox.baseUrl}/_sandbox/cdn`, { method: 'POST', body: JSON.stringify({ bytesPerSecond }) });
const current = (dir: string) => join(dir, APP, 'current');
const versionOf = async (dir: string) => (await readManifestFile(join(current(dir), 'manifest.json'))).appleVersionId;

t.test('list, pull, verify; a new release is switched to, old ones go', async (t) => {
  const setting = await start(t, { WEBDIST_PACKAGES_KEEP: '2' });
  t.match((await run(t, setting, 'list')).output, /1\.3\.0 +READY_FOR_DISTRIBUTION +yes +no/);
  t.match(await run(t, setting, 'pull'), { code: 0, output: /2000000042 {2}pulled and checked, current/ });
  t.match((await run(t, setting, 'pull')).output, /was here already/);
  const { problems, files } = await verifyPackage(current(setting.dir));
  t.strictSame(problems, []);
  t.equal(files, 4);
  await release(setting);
  t.match((await run(t, setting, 'pull')).output, /2000000057 {2}pulled and checked, current/);
  await release(setting);
  t.match((await run(t, setting, 'pull')).output, /2000000072.*; removed 2000000042/);
  t.equal(await versionOf(setting.dir), '2000000072');
  t.match(await run(t, setting, 'pull', '--release', '1.4.0', '--json'), { code: 0, output: /"isCurrent":false/ });
  t.equal(await versionOf(setting.dir), '2000000072', 'an older version does not become the current one');
  const names = readdirSync(join(setting.dir, APP, 'versions'));
  t.equal(names.length, 4, 'two links, two packages, nothing else');
  t.match(await run(t, setting, 'verify'), { code: 0, output: /ok.*2000000057[\s\S]*ok.*2000000072/ });
  t.match(await run(t, setting, 'pull', '--release', '9.9'), { code: 1, output: /no finished package/ });
});

t.test('a byte anywhere that is not right is found and named, and so is what is missing or too much', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  const root = current(setting.dir);
  const manifest = await readManifestFile(join(root, 'manifest.json'));
  const variant = manifest.variants[0]?.assetPath ?? '';
  const flip = (path: string, at: number) => {
    const bytes = readFileSync(join(root, path));
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(join(root, path), bytes);
  };
  for (const path of ['manifest.json', 'signature', variant])
    for (const share of [0, 0.5, 0.999]) {
      const at = Math.floor(statSync(join(root, path)).size * share);
      flip(path, at);
      const { problems } = await verifyPackage(root);
      t.match(problems[0], { path, kind: 'changed' }, `${path} at ${at}`);
      flip(path, at);
    }
  t.strictSame((await verifyPackage(root)).problems, []);
  appendFileSync(join(root, '.DS_Store'), 'x');
  t.match((await verifyPackage(root)).problems, [{ path: '.DS_Store', kind: 'added' }]);
  rmSync(join(root, '.DS_Store'));
  truncateSync(join(root, variant), 70_000);
  t.match((await verifyPackage(root)).problems, [{ path: variant, kind: 'changed' }]);
  rmSync(join(root, variant));
  t.match((await verifyPackage(root)).problems, [{ path: variant, kind: 'missing' }]);
  const told = await run(t, setting, 'verify', root);
  t.match(told, { code: 1, output: /missing +variant\// });
});

t.test('killed at random 20 times it ends with a whole package, and never shows half of one', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  await release(setting);
  await slow(setting, 400_000);
  let kills = 0;
  let done = false;
  const watched = (async () => {
    while (!done) {
      const { problems, manifest } = await verifyPackage(current(setting.dir));
      if (problems.length > 0) t.fail(`half a package of ${manifest?.appleVersionId}: ${problems[0]?.path}`);
      await delay(20);
    }
  })();
  for (; kills < 20; kills++) {
    const running = runWebdist(t, ['packages', 'pull'], setting.env);
    await delay(250 + Math.random() * 900);
    running.child.kill('SIGKILL');
    await running.exited;
  }
  await slow(setting, null);
  t.match(await run(t, setting, 'pull'), { code: 0, output: /2000000057/ });
  done = true;
  await watched;
  t.equal(await versionOf(setting.dir), '2000000057');
  t.strictSame((await verifyPackage(current(setting.dir))).problems, []);
  t.equal(readdirSync(join(setting.dir, APP, 'versions')).length, 4, 'no leftovers');
});

t.test('an address that ends is asked for anew, and a file goes on where it stopped', async (t) => {
  const setting = await start(t);
  await slow(setting, 250_000);
  const pulling = runWebdist(t, ['packages', 'pull'], setting.env);
  const drafts = () =>
    readdirSync(setting.dir, { recursive: true }).filter((name) => String(name).endsWith('.download'));
  await until(() => drafts().length > 0, 'a file under way');
  pulling.child.kill('SIGKILL');
  await pulling.exited;
  await fetch(`${setting.sandbox.baseUrl}/_sandbox/cdn`, { method: 'DELETE' });
  const again = runWebdist(t, ['packages', 'pull'], setting.env);
  await until(() => drafts().length > 0 || again.child.exitCode !== null, 'a file under way');
  await fetch(`${setting.sandbox.baseUrl}/_sandbox/cdn`, { method: 'DELETE' });
  await slow(setting, null);
  t.equal(await again.exited, 0, again.output());
  t.strictSame((await verifyPackage(current(setting.dir))).problems, []);
});

t.test('two pulls at once: the second is told', async (t) => {
  const setting = await start(t);
  await slow(setting, 100_000);
  const first = runWebdist(t, ['packages', 'pull'], setting.env);
  await until(
    () => readdirSync(setting.dir, { recursive: true }).some((name) => String(name).includes('.partial')),
    'it',
  );
  t.match(await run(t, setting, 'pull'), { code: 1, output: /Another .* under way/ });
  await slow(setting, null);
  t.equal(await first.exited, 0, first.output());
});

t.test('the service offers what was pulled, each version at its own address', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  await release(setting);
  await run(t, setting, 'pull');
  const { WEBDIST_PACKAGE_URL: _, WEBDIST_PACKAGE_MANIFEST: __, ...others } = setting.env;
  const sandbox = { ...setting.sandbox, settings: others };
  const { url, service } = await startReady(t, sandbox, { WEBDIST_PACKAGES_URL: 'https://example.com/adp' });
  await service.look();
  const answer = await fetch(`${url}/install-token`, { headers: { origin: 'https://example.com' } });
  const { installUrl } = (await answer.json()) as { installUrl: string };
  t.match(decodeURIComponent(installUrl), `Package=https://example.com/adp/${APP}/versions/2000000057&`);
  const ask = async (kind: string, appleVersionId: string) => {
    const answered = await fetch(`${url}/marketplace-kit/${kind}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ platform: 'iOS', osVersion: '18.5', apps: [{ appleItemId: APP, appleVersionId }] }),
    });
    return answered.json() as Promise<Record<string, { alternativeDistributionPackage: string }[]>>;
  };
  t.match(await ask('restore', '2000000042'), {
    restores: [{ alternativeDistributionPackage: `https://example.com/adp/${APP}/versions/2000000042` }],
  });
  t.match(await ask('updates', '2000000042'), {
    updates: [{ appleVersionId: '2000000057', shortVersionString: '1.4.0' }],
  });
});

t.test('serve: ranges, types, no transformation, whole packages only', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  const server = await buildPackageServer(setting.dir);
  t.teardown(() => server.close());
  const url = await server.listen({ host: '127.0.0.1', port: 0 });
  const manifest = await readManifestFile(join(current(setting.dir), 'manifest.json'));
  const variant = manifest.variants[0]?.assetPath ?? '';
  const bytes = readFileSync(join(current(setting.dir), variant));
  const whole = await fetch(`${url}/${APP}/current/${variant}`, { headers: { 'accept-encoding': 'gzip, br' } });
  t.equal(Buffer.compare(Buffer.from(await whole.arrayBuffer()), bytes), 0);
  t.match(Object.fromEntries(whole.headers), {
    'content-type': 'application/octet-stream',
    'content-length': String(bytes.length),
    'accept-ranges': 'bytes',
    'cache-control': /no-transform/,
  });
  t.notOk(whole.headers.get('content-encoding'));
  const part = await fetch(`${url}/${APP}/versions/2000000042/${variant}`, { headers: { range: 'bytes=10-19' } });
  t.equal(part.status, 206);
  t.equal(Buffer.compare(Buffer.from(await part.arrayBuffer()), bytes.subarray(10, 20)), 0);
  t.equal((await fetch(`${url}/${APP}/current/manifest.json`)).headers.get('content-type'), 'application/json');
  for (const path of [
    `/${APP}/pull.lock`,
    `/${APP}/current`,
    '/',
    `/${APP}/current/..%2f..%2fpull.lock`,
    `/${APP}/versions`,
  ])
    t.equal((await fetch(url + path)).status, 404, path);
});

t.test('a disk that is full is a clear error, and the old version goes on being served', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  await release(setting);
  // A limit on the size of files stands in for the end of the disk: the kernel refuses the write either way.
  // Without tap's own module in that process, which dies of the signal that comes with it.
  const limited = spawn(
    'bash',
    ['-c', 'unset NODE_OPTIONS; ulimit -Sf 100; exec "$0" -- src/main.ts packages pull', process.execPath],
    {
      env: { PATH: process.env['PATH'], ...setting.env },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let said = '';
  limited.stderr.on('data', (part) => (said += part));
  const [code] = await once(limited, 'close');
  t.equal(code, 1, said);
  t.match(said, /no room left .* what was there stays/);
  t.equal(await versionOf(setting.dir), '2000000042');
  t.strictSame((await verifyPackage(current(setting.dir))).problems, []);
  t.match(await run(t, setting, 'pull'), { code: 0, output: /2000000057 {2}pulled/ }, 'with room again');
});

t.test('bytes of Apple’s that are wrong are refused, after one more try', async (t) => {
  const setting = await start(t);
  let wrong = 0;
  const proxy = await startProxy(t, setting.sandbox, (path, body) => {
    if (!path.startsWith('/_sandbox/cdn/variant')) return body;
    wrong++;
    body[5] = (body[5] ?? 0) ^ 1;
    return body;
  });
  const told = await run(t, { env: { ...setting.env, ASC_BASE_URL: proxy } }, 'pull');
  t.match(told, { code: 1, output: /variant\/.*chunk 1 of 3 is not what the manifest says/ });
  t.equal(wrong, 2);
  t.notOk(readdirSync(join(setting.dir, APP)).includes('current'));
});

/** The sandbox behind a proxy that may change bodies; addresses in answers lead through it as well. */
async function startProxy(t: Test, sandbox: Sandbox, change: (path: string, body: Buffer) => Buffer): Promise<string> {
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? '/';
    const headers = Object.entries(request.headers).filter(([name]) => ['authorization', 'host'].includes(name)) as [
      string,
      string,
    ][];
    const answer = await fetch(sandbox.baseUrl + path, {
      headers: Object.fromEntries(headers.filter(([name]) => name !== 'host')),
    });
    let body: Buffer = Buffer.from(await answer.arrayBuffer());
    if (answer.headers.get('content-type')?.includes('json'))
      body = Buffer.from(body.toString().replaceAll(sandbox.baseUrl, `http://${request.headers.host}`));
    response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' });
    response.end(change(path, body));
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
}
