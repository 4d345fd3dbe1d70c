/** Pulling packages when something is missing, wrong or full, and pulled versions that wait to be used. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { verifyPackage } from '../../../src/packages/verify.ts';
import type { Sandbox } from '../../../src/sandbox/sandbox.ts';
import { call } from '../../harness/apple-client.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { listen } from '../../harness/port.ts';
import { runWebdist } from '../../harness/process.ts';
import { endFaults, requestsSeen, setFault } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';
import { APP, current, draftsIn, release, run, slow, start, versionOf } from '../../packages/pulling.ts';

t.test('Ctrl-C says how to continue, and the next run continues where this one stopped', async (t) => {
  const setting = await start(t);
  await slow(setting, 50_000);
  const pulling = runWebdist(t, ['packages', 'pull'], setting.env);
  const [draft] = await until(() => draftsIn(setting.dir), 'bytes of a file');
  pulling.child.kill('SIGINT');
  t.equal(await pulling.exited, 130, pulling.output());
  t.equal(pulling.output(), 'Interrupted. Run the same command again to continue where it stopped.\n');
  t.strictSame(readdirSync(join(setting.dir, APP, 'versions')).length, 1, 'nothing but the draft');
  const had = statSync(join(setting.dir, draft ?? '')).size;
  t.ok(had > 0);
  await slow(setting, null);
  const ranges: (string | undefined)[] = [];
  const proxy = await startProxy(t, setting.sandbox, {
    before: async (path, { range }) => void (path.startsWith('/_sandbox/cdn/variant') && ranges.push(range)),
  });
  t.match(await run(t, { env: { ...setting.env, ASC_BASE_URL: proxy } }, 'pull'), { code: 0 });
  t.strictSame(ranges, [`bytes=${had}-`, undefined], 'only what was missing');
  t.strictSame((await verifyPackage(current(setting.dir))).problems, []);
});

t.test('an expired URL is requested again', async (t) => {
  const setting = await start(t);
  let files = 0;
  const proxy = await startProxy(t, setting.sandbox, {
    async before(path) {
      if (path.startsWith('/_sandbox/cdn/variant') && files++ === 0)
        await fetch(`${setting.sandbox.baseUrl}/_sandbox/cdn`, { method: 'DELETE' });
    },
  });
  t.match(await run(t, { env: { ...setting.env, ASC_BASE_URL: proxy } }, 'pull'), { code: 0 });
  const asked = (await requestsSeen(setting.sandbox)).filter((one) => one.includes('PackageVariants/'));
  t.strictSame([files, asked.length, new Set(asked).size], [3, 3, 2], 'one of two files twice');
  t.strictSame((await verifyPackage(current(setting.dir))).problems, []);
});

t.test('for an approved version without a package, one is requested from App Store Connect, once', async (t) => {
  const setting = await start(t);
  const posts = () => requestsSeen(setting.sandbox, 'POST');
  await release(setting, { isMade: false });
  t.match(await run(t, { env: { ...setting.env, WEBDIST_REGISTER: 'check' } }, 'pull'), {
    code: 0,
    output: /2000000042 {2}pulled/,
  });
  t.strictSame(await posts(), [], 'not without leave to make anything');
  t.match((await run(t, setting, 'list')).output, /1\.4\.0 +\S+ +READY_FOR_DISTRIBUTION +no +no/);
  t.match(await run(t, setting, 'pull'), {
    code: 0,
    output: /Requested the package of 1\.4\.0[\s\S]*2000000057 {2}pulled and checked, current/,
  });
  t.strictSame(await posts(), ['POST /v1/alternativeDistributionPackages']);
  t.match((await run(t, setting, 'pull')).output, /already here/);
  t.equal((await posts()).length, 1);
  await release(setting, { isMade: false });
  await setFault(setting.sandbox, {
    path: '/v1/alternativeDistributionPackages',
    method: 'POST',
    status: 403,
    times: 1,
  });
  t.match(await run(t, setting, 'pull'), {
    code: 0,
    output: /does not create a package of 1\.5\.0: [\s\S]*2000000057 {2}already here/,
  });
  await setFault(setting.sandbox, {
    path: '/v1/alternativeDistributionPackages',
    method: 'POST',
    drop: 'after',
    times: 1,
  });
  t.match(await run(t, setting, 'pull'), { code: 0, output: /2000000072 {2}pulled/ }, 'the answer got lost');
});

t.test('if versions cannot be listed, the error names an alternative, which works', async (t) => {
  const setting = await start(t);
  const listed = (await call(setting.sandbox, 'GET', `/v1/apps/${APP}/appStoreVersions`)).body.data[0];
  for (const status of [403, 404]) {
    await setFault(setting.sandbox, { path: `/v1/apps/${APP}/appStoreVersions`, status });
    for (const command of ['pull', 'list'])
      t.match(await run(t, setting, command), {
        code: 1,
        output: new RegExp(`versions cannot be listed.*${status}.*webdist -- packages pull --version-id ID`),
      });
    await endFaults(setting.sandbox);
  }
  await setFault(setting.sandbox, { path: `/v1/apps/${APP}/appStoreVersions`, status: 404 });
  const around = ['pull', '--version-id', listed?.id ?? ''];
  t.match(await run(t, setting, ...around), { code: 0, output: /2000000042 {2}pulled and checked, current/ });
  t.match(await run(t, setting, ...around, '--release', '1.3.0'), {
    code: 2,
    output: /--release or --version-id, not both/,
  });
  t.match(await run(t, setting, 'pull', '--version-id', 'unknown'), { code: 1, output: /no finished package/ });
});

t.test('a file size limit is reported clearly, like a full disk', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  await release(setting);
  // Without tap's module in that process, because it dies of the signal.
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
  t.match(said, /disk of the packages folder is full\. The earlier versions are unchanged/);
  t.equal(await versionOf(setting.dir), '2000000042');
  t.strictSame((await verifyPackage(current(setting.dir))).problems, []);
  t.match(await run(t, setting, 'pull'), { code: 0, output: /2000000057 {2}pulled/ }, 'with free space again');
});

t.test('wrong bytes from Apple are refused after one retry', async (t) => {
  const setting = await start(t);
  let wrong = 0;
  const proxy = await startProxy(t, setting.sandbox, {
    change(path, body) {
      if (!path.startsWith('/_sandbox/cdn/variant')) return;
      wrong++;
      body[5] = (body[5] ?? 0) ^ 1;
    },
  });
  const told = await run(t, { env: { ...setting.env, ASC_BASE_URL: proxy } }, 'pull');
  t.match(told, { code: 1, output: /variant\/.*chunk 1 of 3 does not match the manifest/ });
  t.equal(wrong, 2);
  t.notOk(readdirSync(join(setting.dir, APP)).includes('current'));
});

type Interference = {
  /** Runs before a request is forwarded. */
  readonly before?: (path: string, headers: IncomingHttpHeaders) => Promise<void>;
  /** Changes the body of an answer in place. */
  readonly change?: (path: string, body: Buffer) => void;
};

/** The sandbox behind a proxy; URLs in answers point to the proxy too. */
async function startProxy(t: Test, sandbox: Sandbox, { before, change }: Interference): Promise<string> {
  const server = createServer(
    async ({ url: path = '/', headers: { authorization, range, host, ...rest } }, response) => {
      await before?.(path, { ...rest, range });
      const answer = await fetch(sandbox.baseUrl + path, {
        headers: { ...(authorization && { authorization }), ...(range && { range }) },
      });
      let body: Buffer = Buffer.from(await answer.arrayBuffer());
      if (answer.headers.get('content-type')?.includes('json'))
        body = Buffer.from(body.toString().replaceAll(sandbox.baseUrl, `http://${host}`));
      change?.(path, body);
      const own = [...answer.headers].filter(([name]) => ['content-type', 'content-range'].includes(name));
      response.writeHead(answer.status, Object.fromEntries(own));
      response.end(body);
    },
  );
  t.teardown(() => server.close());
  return `http://127.0.0.1:${await listen(server)}`;
}

t.test('--stage: no device gets the new version until it is used; what is in use is never removed', async (t) => {
  const setting = await start(t, {
    WEBDIST_PACKAGES_KEEP: '1',
    WEBDIST_PACKAGES_URL: 'https://example.com/adp',
    WEBDIST_DATA_DIR: temporaryFolder(t),
  });
  const { WEBDIST_PACKAGE_URL: _, WEBDIST_PACKAGE_MANIFEST: __, ...settings } = setting.env;
  t.match(await run(t, setting, 'pull', '--stage'), { code: 0, output: /2000000042 {2}pulled and checked, current/ });
  t.match(await run(t, setting, 'use', '2000000042', '--yes'), { code: 0 }, 'the first version has nothing before it');
  t.match(await run(t, setting, 'use', 'newest', '--yes'), { code: 0 });
  const { url, service } = await startReady(t, setting.sandbox, {
    ...settings,
    WEBDIST_PACKAGE_URL: undefined,
    WEBDIST_PACKAGE_MANIFEST: undefined,
  });
  const linked = async () => {
    await service.reconcile();
    const answer = await fetch(`${url}/install-token`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: 'https://example.com' },
      body: '{}',
    });
    return ((await answer.json()) as { installUrl: string }).installUrl.match(/versions%2F(\d+)/)?.[1];
  };
  t.equal(await linked(), '2000000042');

  await release(setting);
  const pulled = await run(t, setting, 'pull', '--stage');
  t.match(pulled, { code: 0, output: /\d+ {2}pulled and checked$/m }, 'it is not current');
  t.equal(await versionOf(setting.dir), '2000000042', 'and the version in use was not removed');
  const [staged = ''] = pulled.output.match(/\d{6,}/) ?? [];
  t.equal(await linked(), '2000000042');
  t.match(await run(t, setting, 'use', staged, '--wait', '--yes'), { code: 0 });
  t.equal(await linked(), staged);
  t.match(await run(t, setting, 'use', '2000000042', '--wait', '--yes'), { code: 0 });
  t.equal(await linked(), '2000000042', 'and back');
  t.match(await run(t, setting, 'pull'), { code: 0, output: /already here, current/ });
  t.equal(await linked(), '2000000042', 'an order is stronger than what is current');
});
