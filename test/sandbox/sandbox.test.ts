/** The sandbox as a whole: its settings, what survives a restart, when it refuses to open. */

import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { isP256 } from '../../src/jws.ts';
import { openSandbox, settingsText } from '../../src/sandbox/sandbox.ts';
import { APP_KEY, addKey, call, control, DOMAINS, domainEntity, outcome } from '../harness/apple-client.ts';
import { startSandbox } from '../harness/sandbox.ts';

t.test('the settings contain everything that a service needs', async (t) => {
  const dataDir = join(t.testdir(), 'a folder', 'inside');
  const { settings, baseUrl } = await startSandbox(t, { dataDir });
  t.match(settings, {
    ASC_BASE_URL: baseUrl,
    ASC_KEY_ID: /^[A-Z0-9]{10}$/,
    ASC_ISSUER_ID: /^[0-9a-f-]{36}$/,
    WEBDIST_DOMAIN: 'example.com',
    WEBDIST_APPLE_ITEM_ID: '6500000001',
    WEBDIST_BUNDLE_ID: 'com.example.trailmap',
    WEBDIST_PACKAGE_URL: 'https://example.com/adp/6500000001',
    WEBDIST_PACKAGE_MANIFEST: `${baseUrl}/_sandbox/packages/6500000001/manifest.json`,
    WEBDIST_APP_SHARE_URL: /^https:\/\/example\.com\//,
  });
  const file = new URL(settings['WEBDIST_KEY'] ?? '');
  t.ok(isP256(createPrivateKey(readFileSync(file))));
  for (const path of [file, join(dataDir, 'sandbox.json')]) t.equal(statSync(path).mode & 0o777, 0o600);
  const lines = settingsText(settings).split('\n');
  t.equal(lines.pop(), '');
  t.strictSame(Object.fromEntries(lines.map((line) => line.split(/=(.*)/).slice(0, 2))), settings);
  t.ok(lines.every((line) => /^[A-Z0-9_]+=\S+$/.test(line)));
});

t.test('the account survives a restart; after the state file is deleted, there is a new account', async (t) => {
  const dataDir = t.testdir();
  const first = await openSandbox({ dataDir });
  const key = createPublicKey(createPrivateKey(readFileSync(new URL(first.settings['WEBDIST_KEY'] ?? ''))));
  const { id } = await addKey(first, key);
  await call(first, 'POST', DOMAINS, domainEntity('example.com'));
  await control(first, 'POST', 'faults', { status: 500 });
  await first.close();

  const second = await openSandbox({ dataDir });
  const { ASC_BASE_URL: _, WEBDIST_PACKAGE_MANIFEST: __, ...kept } = first.settings;
  t.match(second.settings, kept);
  t.equal((await call(second, 'GET', APP_KEY)).body.data.id, id, 'and the fault is over');
  t.equal((await call(second, 'GET', DOMAINS)).body.meta.paging.total, 1);
  await second.close();

  rmSync(join(dataDir, 'sandbox.json'));
  const keyFile = join(dataDir, 'distribution-key.pem');
  const pem = readFileSync(keyFile, 'utf8');
  const third = await startSandbox(t, { dataDir });
  t.equal(outcome(await call(third, 'GET', APP_KEY)), '404 NOT_FOUND');
  t.equal(readFileSync(keyFile, 'utf8'), pem, 'the distribution key stays');
  t.not(third.settings['ASC_KEY_ID'], first.settings['ASC_KEY_ID']);
});

t.test('an invalid state file', async (t) => {
  const dataDir = t.testdir();
  const file = join(dataDir, 'sandbox.json');
  for (const content of ['', '{"version":1,', '{"version":"1"}', '[]', '{"version":1,"apiKeys":"hunter2"}']) {
    writeFileSync(file, content);
    const error = await openSandbox({ dataDir }).catch((error) => error);
    t.match(error, { code: 'state_invalid', hint: /Delete it/ }, content);
    t.notMatch(String(error.stack), 'hunter2');
    t.equal(readFileSync(file, 'utf8'), content, 'it is left as it was');
  }
  rmSync(file);
  mkdirSync(file);
  await t.rejects(openSandbox({ dataDir }), { code: 'state_invalid' });
  await t.rejects(openSandbox({ dataDir: join(t.testdir({ file: '' }), 'file') }), { code: 'state_invalid' });
});

t.test('a change that cannot be written does not take effect', async (t) => {
  const dataDir = t.testdir();
  const sandbox = await startSandbox(t, { dataDir });
  mkdirSync(join(dataDir, 'sandbox.json.new'));
  t.equal(outcome(await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'))), '500 UNEXPECTED_ERROR');
  rmSync(join(dataDir, 'sandbox.json.new'), { recursive: true });
  t.equal((await call(sandbox, 'GET', DOMAINS)).body.meta.paging.total, 0);
  t.equal(outcome(await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'))), '201');
});

t.test('refuses to open on a port in use', async (t) => {
  const sandbox = await startSandbox(t);
  const port = Number(new URL(sandbox.baseUrl).port);
  await t.rejects(openSandbox({ dataDir: t.testdir(), port }), { code: 'config_invalid', message: /port/ });
});

t.test('the package is served at the URL in the settings', async (t) => {
  const sandbox = await startSandbox(t);
  const manifest = await fetch(sandbox.settings['WEBDIST_PACKAGE_MANIFEST'] ?? '');
  t.match(manifest.headers.get('content-type'), /^application\/json/);
  t.match(await manifest.json(), {
    appleItemId: '6500000001',
    bundleId: 'com.example.trailmap',
    appleVersionId: '2000000042',
    variants: [{ assetPath: /^variant\/.+\.ipa$/ }],
  });
  const signature = async () =>
    Buffer.from(await (await fetch(`${sandbox.baseUrl}/_sandbox/packages/6500000001/signature`)).arrayBuffer());
  t.equal((await signature()).length, 256);
  t.ok((await signature()).equals(await signature()));
  for (const path of ['packages/1/manifest.json', 'packages/6500000001/x', 'nothing'])
    t.match(await control(sandbox, 'GET', path), { status: 404, body: { detail: /./ } }, path);
  t.strictSame((await control(sandbox, 'GET', 'requests')).body, [], 'only requests to Apple are noted');
});

t.test('file URLs are invalidated only in the sandbox that is told to', async (t) => {
  const both = [
    await startSandbox(t, { dataDir: join(t.testdir(), 'one') }),
    await startSandbox(t, { dataDir: join(t.testdirName, 'two') }),
  ];
  const addresses: string[] = [];
  for (const sandbox of both) {
    const manifest = await fetch(sandbox.settings['WEBDIST_PACKAGE_MANIFEST'] ?? '');
    const { variants } = (await manifest.json()) as { variants: { publicId: string }[] };
    const path = `/v1/alternativeDistributionPackageVariants/${variants[0]?.publicId}`;
    addresses.push((await call(sandbox, 'GET', path)).body.data.attributes['url'] ?? '');
  }
  const answers = () => Promise.all(addresses.map(async (url) => (await fetch(url)).status));
  t.strictSame(await answers(), [200, 200]);
  await fetch(`${both[0]?.baseUrl}/_sandbox/cdn`, { method: 'DELETE' });
  t.strictSame(await answers(), [403, 200]);
});
