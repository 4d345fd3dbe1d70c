/** The whole life of an app on a device, over real HTTP. For refusals, see test/nightly/sandbox/checklist.test.ts. */

import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { runWebdist, startProcess } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { isReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';
import { APP, deviceFor, hasDomain, linkOf, refusalOf, startWebsite } from '../../harness/website.ts';

const LATER_MS = 1_300_000;

t.test('install, update, delete and reinstall, restore from a backup', async (t) => {
  const website = await startWebsite(t);
  const device = deviceFor(website);
  const { installUrl, cookie } = await linkOf(website);
  const installed = await device.install(installUrl);
  t.ok(installed.accepted, JSON.stringify(refusalOf(installed)));
  t.strictSame(
    installed.steps.map(({ name }) => name),
    [
      'link and its token',
      'eligibility',
      'linked manifest',
      'configuration',
      'token exchange',
      'licence',
      'restore',
      'restore token',
      'package address',
      'package',
      'installed',
    ],
  );
  t.strictSame(
    installed.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['link download', 'restore download'],
  );

  website.clock.now += LATER_MS;
  await website.release();
  const updated = await device.update();
  t.ok(updated.accepted, JSON.stringify(refusalOf(updated)));
  t.strictSame(
    updated.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['update redownload'],
  );
  t.strictSame(device.apps(), [{ appleItemId: APP, appleVersionId: '2000000057' }]);
  t.equal(refusalOf(await device.update())?.line, 34, 'there is nothing newer');

  device.remove(APP);
  const again = await device.install((await linkOf(website, { cookie })).installUrl);
  t.ok(again.accepted, JSON.stringify(refusalOf(again)));
  t.strictSame(
    again.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['link redownload', 'restore redownload'],
  );

  website.clock.now += 4_000_000;
  const back = await device.restoreFromBackup();
  t.ok(back.accepted, `the access token is refreshed: ${JSON.stringify(refusalOf(back))}`);
  t.strictSame(
    back.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['restore redownload'],
  );
  const nonces = [installed, updated, again, back].flatMap(({ tokens }) => tokens.map(({ nonce }) => nonce));
  t.equal(new Set(nonces).size, 6, 'no two tokens are alike');
  const warnings = [installed, updated, again, back].flatMap(({ steps }) =>
    steps.filter(({ detail }) => /warning/.test(detail)),
  );
  t.strictSame(warnings, []);
});

t.test('Apple’s own example: the parent domain is registered, page and package are on a subdomain', async (t) => {
  const page = 'https://get.example.com';
  const website = await startWebsite(t, {
    WEBDIST_PACKAGE_URL: `${page}/adp/${APP}`,
    WEBDIST_ALLOWED_ORIGINS: page,
  });
  const device = deviceFor(website);
  const { installUrl } = await linkOf(website, { origin: page });
  t.match(decodeURIComponent(installUrl), `alternativeDistributionPackage=${page}/adp/${APP}`);
  const installed = await device.install(installUrl, `${page}/trailmap`);
  t.ok(installed.accepted, JSON.stringify(refusalOf(installed)));
  await website.release();
  t.ok((await device.update()).accepted);
  t.ok((await device.restoreFromBackup()).accepted);
  const elsewhere = await deviceFor(website).install((await linkOf(website, { origin: page })).installUrl);
  t.match(refusalOf(elsewhere), { line: 5 }, 'the page is on the parent domain, the package is not');
});

const journeys = ['install', 'update', 'delete and reinstall', 'restore from backup'] as const;

t.test('webdist sandbox device install prints every journey, with npm start', async (t) => {
  const service = await startProcess(t, { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: temporaryFolder(t) });
  await until(() => /"event":"domain_registered"/.test(service.output()), service.output);
  const told = runWebdist(t, ['sandbox', 'device', 'install', service.url]);
  t.equal(await told.exited, 0, told.output());
  t.match(told.output(), new RegExp(journeys.map((name) => `^${name}\\n(  ok .*\\n)+`).join(''), 'm'));
  t.match(told.output(), /update token: .*dtype redownload[\s\S]*version 2000000057, is on the device/);
  const once = runWebdist(t, ['sandbox', 'device', 'install', '--once', service.url]);
  t.equal(await once.exited, 0, once.output());
  t.match(once.output(), /^install\n( {2}ok .*\n)+$/, 'a new device each time');
  for (const [options, says] of [
    [['--os', '17.4'], /featureUnavailable: iOS 17\.4/],
    [['--platform', 'iPadOS', '--os', '17.7'], /featureUnavailable: iPadOS 17\.7/],
    [['--region', 'BR'], /featureUnavailable: the device is in BR/],
    [['--model', 'iPhone99,9'], /noSupportedVariant/],
    [['--page', 'https://shop.example.com/'], /on the same host/],
  ] as const) {
    const refused = runWebdist(t, ['sandbox', 'device', 'install', '--once', ...options, service.url]);
    t.equal(await refused.exited, 1, options.join(' '));
    t.match(refused.output(), says);
  }
  const nobody = runWebdist(t, ['sandbox', 'device', 'install', 'http://127.0.0.1:9']);
  t.equal(await nobody.exited, 2);
  t.match(nobody.output(), /Nothing answers/);
});

t.test('the same with webdist sandbox and webdist serve as separate processes', async (t) => {
  const sandbox = await startSandbox(t);
  const service = await startProcess(t, { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t) });
  await isReady(service.url);
  await hasDomain(sandbox);
  const alone = runWebdist(t, ['sandbox', 'device', 'install', '--once', service.url]);
  t.equal(await alone.exited, 2);
  t.match(alone.output(), /use --sandbox/);
  const args = ['--sandbox', sandbox.baseUrl, '--json', service.url];
  const brief = runWebdist(t, ['sandbox', 'device', 'install', '--wait', '1', ...args]);
  t.equal(await brief.exited, 0, brief.output());
  t.match(brief.output(), /are skipped/, 'a service that does not know the update yet');
  t.match(brief.output(), /^\{"install":(?!.*"update":)/m);
  service.child.kill('SIGHUP');
  const told = runWebdist(t, ['sandbox', 'device', 'install', '--wait', '400', ...args]);
  await until(() => told.output().includes('Waiting for the service') || told.child.exitCode !== null, told.output);
  service.child.kill('SIGHUP');
  t.equal(await told.exited, 0, told.output());
  const done = JSON.parse(/^\{.*$/m.exec(told.output())?.[0] ?? '');
  t.strictSame(Object.keys(done), journeys);
  const tokens = journeys.flatMap((name) => done[name].tokens as { place: string; dtype: string; nonce: string }[]);
  t.equal(new Set(tokens.map(({ nonce }) => nonce)).size, 6, 'no two tokens are alike');
  t.equal(tokens.find(({ place }) => place === 'update')?.dtype, 'redownload');
});
