/** `domains` and `whoami` against the simulated App Store Connect, and settings that are missing, as processes. */

import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { withAppStoreConnect } from '../../../src/cli/app-store-connect.ts';
import { webdist, webdistJson } from '../../harness/process.ts';
import { setFault, startSandbox } from '../../harness/sandbox.ts';

/** Only the settings of App Store Connect: these commands need no app. */
function credentials(settings: Readonly<Record<string, string>>) {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => name.startsWith('ASC_')));
}

const uuid = /^[0-9a-f-]{36}$/;

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
