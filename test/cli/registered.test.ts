/** `keys`, `domains`, `apps` and `whoami` against the simulated App Store Connect, as processes. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withAppStoreConnect } from '../../src/cli/app-store-connect.ts';
import { publicKeyPem } from '../../src/jws.ts';
import { control } from '../harness/apple-client.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist, webdistJson } from '../harness/process.ts';
import { requestsSeen, setFault, startSandbox } from '../harness/sandbox.ts';

/** Only the settings of App Store Connect: these commands need no app. */
function credentials(settings: Readonly<Record<string, string>>) {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => name.startsWith('ASC_')));
}

const uuid = /^[0-9a-f-]{36}$/;
const sha256 = /^SHA256:[0-9a-f]{64}$/;

type Key = { id: string; scope: string; app: { bundleId: string } | null; fingerprint: string; publicKey: string };

t.test('keys: add, list, show, remove', async (t) => {
  const { settings, baseUrl, ...sandbox } = await startSandbox(t);
  const env = credentials(settings);
  const folder = temporaryFolder(t);
  const publicFile = join(folder, 'public.pem');
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(publicFile, publicKeyPem(publicKey));

  t.strictSame(await webdistJson(['keys', 'list'], env), []);
  t.equal((await webdist(['keys', 'list'], env)).stdout, 'No keys are registered.\n');

  const own = await webdistJson<Key>(
    ['keys', 'add', '--key', settings['WEBDIST_KEY'] ?? '', '--app', 'com.example.trailmap'],
    env,
  );
  t.match(own, { id: uuid, scope: 'app', app: { bundleId: 'com.example.trailmap' }, fingerprint: sha256 });
  const shared = await webdistJson<Key>(['keys', 'add', '--public', publicFile, '--account'], env);
  t.match(shared, { id: uuid, scope: 'account', app: null, publicKey: publicKeyPem(publicKey) });

  t.strictSame(await webdistJson(['keys', 'list'], env), [own, shared]);
  t.strictSame(await webdistJson(['keys', 'list', '--account'], env), [shared]);
  t.strictSame(await webdistJson(['keys', 'list', '--app', '6500000001'], env), [own]);
  t.strictSame(await webdistJson(['keys', 'show', own.id], env), own);
  const list = await webdist(['keys', 'list'], env);
  t.equal(list.code, 0);
  const [head, first, second] = list.stdout.split('\n');
  t.match(head, /^ID +FOR +FINGERPRINT$/);
  t.equal(first, `${own.id}  com.example.trailmap (6500000001)  ${own.fingerprint}`);
  t.equal(second, `${shared.id}  ${'all apps'.padEnd(33)}  ${shared.fingerprint}`);
  const show = await webdist(['keys', 'show', shared.id], env);
  t.equal(
    show.stdout,
    `id           ${shared.id}\nfor          all apps\nfingerprint  ${shared.fingerprint}\n${publicKeyPem(publicKey)}`,
  );

  await t.test('errors are one line', async (t) => {
    const again = await webdist(['keys', 'add', '--public', publicFile, '--account'], env);
    t.match(again, { code: 0, stderr: 'This key is already registered; nothing was changed.\n' });
    t.match(again.stdout, new RegExp(`^id +${shared.id}\n`));
    const otherScope = await webdist(['keys', 'add', '--public', publicFile, '--app', 'com.example.trailmap'], env);
    t.match(otherScope, { code: 1, stdout: '' });
    t.match(
      otherScope.stderr,
      new RegExp(`^webdist: This public half is already registered .+ as ${shared.id}\\. .+\\n$`),
    );
    const second = await webdist(['keys', 'add', '--key', 'env://OTHER', '--app', 'com.example.trailmap'], {
      ...env,
      OTHER: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }),
    } as Record<string, string>);
    t.match(second, { code: 1, stderr: /^webdist: POST .+ already has a key.+\n$/ });
    t.match(await webdist(['keys', 'show', 'no-such'], env), { code: 1, stderr: /^webdist: .+no-such.+\n$/ });
    t.match(await webdist(['keys', 'remove', 'no-such', '--yes'], env), { code: 1, stderr: /^webdist: .+no-such/ });
    t.match(await webdist(['keys', 'list', '--app', 'com.none.app'], env), { code: 1, stderr: /"com\.none\.app"/ });
    t.match(await webdist(['keys', 'list', '--app', 'a.b', '--account'], env), { code: 2, stderr: /not both/ });
    t.match(await webdist(['keys', 'add', '--account'], env), { code: 2, stderr: /--key LOCATOR or --public FILE/ });
    t.match(await webdist(['keys', 'add', '--public', publicFile], env), { code: 2, stderr: /--app APP or --account/ });
    t.match(await webdist(['keys', 'add', '--public', join(folder, 'none'), '--account'], env), {
      code: 1,
      stderr: /cannot be read \(ENOENT\)/,
    });
    t.match(await webdist(['keys', 'add', '--key', 'env://NONE', '--account'], env), {
      code: 1,
      stderr: /^webdist: --key: .+NONE/,
    });
  });

  await t.test('nothing is removed without confirmation', async (t) => {
    const refused = await webdist(['keys', 'remove', shared.id], env, 'y\n');
    t.match(refused, {
      code: 2,
      stdout: '',
      stderr: /^webdist: This needs confirmation: .+ Use --yes when there is no terminal\.\n$/,
    });
    t.strictSame(await requestsSeen({ baseUrl, settings, ...sandbox }, 'DELETE'), []);
    const removed = await webdist(['keys', 'remove', shared.id, '--yes'], env);
    t.match(removed, { code: 0, stdout: `removed  ${shared.id}\n` });
    t.strictSame(await webdistJson(['keys', 'remove', own.id, '--yes'], env), { removed: own.id });
    t.strictSame(await webdistJson(['keys', 'list'], env), []);
  });
});

t.test('domains: add, list, show, remove', async (t) => {
  const { settings } = await startSandbox(t);
  const env = credentials(settings);
  t.equal((await webdist(['domains', 'list'], env)).stdout, 'No domains are registered.\n');
  const added = await webdistJson<{ id: string }>(['domains', 'add', 'Example.com', '--name', 'shop'], env);
  t.match(added, { id: uuid, domain: 'example.com', referenceName: 'shop' });
  t.strictSame(await webdistJson(['domains', 'list'], env), [added]);
  t.strictSame(await webdistJson(['domains', 'show', added.id], env), added);
  t.match(
    (await webdist(['domains', 'list'], env)).stdout,
    new RegExp(`^ID .+NAME\n${added.id}  example\\.com .+shop\n$`),
  );
  t.match((await webdist(['domains', 'show', added.id], env)).stdout, /^id {7}.+\ndomain {3}example\.com\n/);
  const again = await webdist(['domains', 'add', 'example.com'], env);
  t.match(again, { code: 0, stderr: 'example.com is already registered; nothing was changed.\n' });
  t.match(again.stdout, new RegExp(`^id +${added.id}\n`));
  t.match(await webdist(['domains', 'add', 'https://example.com/'], env), { code: 2, stderr: /is not a bare domain/ });
  t.match(await webdist(['domains', 'show', 'none'], env), { code: 1, stderr: /none/ });
  t.match(await webdist(['domains', 'remove', added.id], env), { code: 2, stderr: /--yes/ });
  t.match(await webdist(['domains', 'remove', added.id, '--yes'], env), {
    code: 0,
    stdout: `removed  ${added.id}  example.com\n`,
  });
  t.strictSame(await webdistJson(['domains', 'list'], env), []);
});

t.test('apps list and find', async (t) => {
  const sandbox = await startSandbox(t);
  const { settings } = sandbox;
  const env = credentials(settings);
  const found = { appleItemId: '6500000001', bundleId: 'com.example.trailmap', name: 'Trail Map', keyId: null };
  t.match(await webdistJson(['apps', 'find', 'com.example.trailmap'], env), found);
  t.match(await webdistJson(['apps', 'find', '6500000001'], env), found);
  t.match(await webdistJson(['apps', 'find', 'Trail Map'], env), found);
  const listed = { appleItemId: '6500000001', bundleId: 'com.example.trailmap', name: 'Trail Map' };
  t.strictSame(await webdistJson(['apps', 'list'], env), [listed]);
  const list = (await webdist(['apps', 'list'], env)).stdout;
  t.match(list, /^APPLEITEMID +BUNDLE ID +NAME\n6500000001 +com\.example\.trailmap +Trail Map\n$/);
  t.match((await webdist(['apps', 'find', 'com.example.trailmap'], env)).stdout, /^AppleItemID {2}6500000001$/m);
  const { id } = await webdistJson<Key>(
    ['keys', 'add', '--app', '6500000001', '--key', settings['WEBDIST_KEY'] ?? ''],
    env,
  );
  t.match(await webdistJson(['apps', 'find', '6500000001'], env), { keyId: id, fingerprint: sha256 });
  t.match(await webdist(['apps', 'find', 'com.example.Trailmap'], env), { code: 1, stderr: /case matters/ });
  await control(sandbox, 'POST', 'apps', { bundleId: 'com.example.dots', name: 'Book.ing' });
  for (const bundleId of ['com.example.one', 'com.example.two'])
    await control(sandbox, 'POST', 'apps', { bundleId, name: 'Twins' });
  for (const [name, bundleId] of [
    ['trail  map', 'com.example.trailmap'],
    ['Book.ing', 'com.example.dots'],
    ['com.example.two', 'com.example.two'],
  ] as const)
    t.match(await webdistJson(['apps', 'find', name], env), { bundleId });
  t.match(await webdist(['apps', 'find', 'Twins'], env), { code: 2, stderr: /com\.example\.one, com\.example\.two/ });
});

t.test('whoami', async (t) => {
  const { settings, individualKey, inAppPurchaseKey, ...sandbox } = await startSandbox(t);
  const env = credentials(settings);
  const reach = [
    { what: 'apps', reachable: true, count: 1, code: null },
    { what: 'alternative distribution keys', reachable: true, count: 0, code: null },
    { what: 'alternative distribution domains', reachable: true, count: 0, code: null },
  ];
  t.match(await webdistJson(['whoami'], env), { kind: 'team', keyId: env['ASC_KEY_ID'], reach });
  const individual = {
    ASC_BASE_URL: env['ASC_BASE_URL'],
    ASC_KEY_ID: individualKey.keyId,
    ASC_PRIVATE_KEY: individualKey.privateKeyPem,
  };
  const seen = await webdist(['whoami'], individual);
  t.match(seen, { code: 0, stdout: /^kind {4}individual/m });
  t.notMatch(seen.stdout + seen.stderr, /PRIVATE|eyJ/);
  const purchase = {
    ...individual,
    ASC_KEY_ID: inAppPurchaseKey.keyId,
    ASC_ISSUER_ID: inAppPurchaseKey.issuerId,
    ASC_PRIVATE_KEY: inAppPurchaseKey.privateKeyPem,
  };
  t.match(await webdist(['whoami'], purchase), { code: 1, stdout: '', stderr: /^webdist: .+401.+\n$/ });
  await setFault(
    { settings, individualKey, inAppPurchaseKey, ...sandbox },
    { path: '/v1/alternativeDistributionKeys', status: 403 },
  );
  const weak = await webdist(['whoami'], env);
  t.match(weak, { code: 0, stdout: /^alternative distribution keys +no: .+403/m });
});

t.test('settings these commands need are named when they are missing, and no others', async (t) => {
  const missing = await webdist(['keys', 'list'], { WEBDIST_NOPE: 'x', PORT: 'x' });
  t.match(missing, { code: 1, stdout: '' });
  t.match(missing.stderr, /^webdist: 2 settings are wrong:\n {2}ASC_PRIVATE_KEY: .+\n {2}ASC_KEY_ID: .+\n$/);
  const folder = t.testdir({
    path: '/none.p8',
    locator: 'file:///none.p8',
    text: '-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----',
  });
  for (const [variable, value, found] of [
    ['ASC_PRIVATE_KEY', 'file:///none.p8', 'none.p8'],
    ['ASC_PRIVATE_KEY_FILE', `${folder}/locator`, 'none.p8'],
    ['ASC_PRIVATE_KEY_FILE', `${folder}/text`, 'damaged'],
    ['ASC_PRIVATE_KEY_PATH', '/none.p8', 'none.p8'],
    ['ASC_PRIVATE_KEY_PATH_FILE', `${folder}/path`, 'none.p8'],
    ['ASC_PRIVATE_KEY_B64', btoa('-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----'), 'public key'],
    ['ASC_PRIVATE_KEY_B64_FILE', `${folder}/text`, 'damaged'],
  ] as const) {
    const reading = withAppStoreConnect('Reading', async () => undefined, { ASC_KEY_ID: 'A', [variable]: value });
    await t.rejects(reading, { message: new RegExp(`^${variable}: .*${found}`) });
  }
  const down = await webdist(['domains', 'list'], {
    ASC_KEY_ID: 'A',
    ASC_PRIVATE_KEY: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
      format: 'pem',
      type: 'pkcs8',
    }) as string,
    ASC_BASE_URL: 'http://127.0.0.1:1',
  });
  t.match(down, { code: 1, stdout: '', stderr: /^webdist: GET .+no answer.+\n$/ });
});
