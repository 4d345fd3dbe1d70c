/** Packages are pulled from the simulated App Store Connect into a folder: whole or not at all (docs/apple-facts.md §5). */

import { appendFileSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { buildPackageServer } from '../../src/http/package-server.ts';
import { readManifestFile } from '../../src/packages/manifest.ts';
import { verifyPackage } from '../../src/packages/verify.ts';
import { runWebdist } from '../harness/process.ts';
import { startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';
import { APP, current, draftsIn, release, run, slow, start, versionOf } from './pulling.ts';

t.test('list, pull, verify; a new release becomes current, old ones are removed', async (t) => {
  const setting = await start(t, { WEBDIST_PACKAGES_KEEP: '2' });
  t.match((await run(t, setting, 'list')).output, /1\.3\.0 +\S+ +READY_FOR_DISTRIBUTION +yes +no/);
  t.match(await run(t, setting, 'pull'), { code: 0, output: /2000000042 {2}pulled and checked, current/ });
  t.match((await run(t, setting, 'pull')).output, /already here/);
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

t.test('verify finds any changed byte, and missing and added files', async (t) => {
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

t.test('of two concurrent pulls, the second is refused', async (t) => {
  const setting = await start(t);
  await slow(setting, 10_000);
  const first = runWebdist(t, ['packages', 'pull'], setting.env);
  await until(() => draftsIn(setting.dir), 'bytes of a file');
  t.match(await run(t, setting, 'pull'), { code: 1, output: /Another .* is running/ });
  await slow(setting, null);
  t.equal(await first.exited, 0, first.output());
});

t.test('the service offers the pulled versions, each at its own URL', async (t) => {
  const setting = await start(t);
  await run(t, setting, 'pull');
  await release(setting);
  await run(t, setting, 'pull');
  const { WEBDIST_PACKAGE_URL: _, WEBDIST_PACKAGE_MANIFEST: __, ...others } = setting.env;
  const sandbox = { ...setting.sandbox, settings: others };
  const { url, service } = await startReady(t, sandbox, { WEBDIST_PACKAGES_URL: 'https://example.com/adp' });
  await service.reconcile();
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
