/** The private checks: a correct installation passes, and each fault is found by exactly the check that is for it. */

import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { checks, runDoctor } from '../../src/doctor/doctor.ts';
import type { Environment } from '../../src/environment.ts';
import type { LicenceServer } from '../harness/licence.ts';
import { listen } from '../harness/port.ts';
import { endFaults, setFault } from '../harness/sandbox.ts';
import { administer, startVault } from '../harness/stand-ins/vault.ts';
import { problems, startInstallation } from './installation.ts';

const newPem = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

t.test('private checks', async (t) => {
  const { env, sandbox, folder, licence } = await startInstallation(t);
  const dataDir = env['WEBDIST_DATA_DIR'] ?? '';
  const file = (name: string, content: string, mode = 0o600) => {
    const path = join(folder, name);
    writeFileSync(path, content, { mode });
    chmodSync(path, mode);
    return path;
  };
  const locator = (name: string, content: string, mode?: number) => pathToFileURL(file(name, content, mode)).href;
  const ownPem = readFileSync(new URL(env['WEBDIST_KEY'] ?? ''), 'utf8');
  const apiPem = Buffer.from(env['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString();
  const { ASC_PRIVATE_KEY_B64: _, ...noApiKey } = env;
  const manifest = (await (await fetch(env['WEBDIST_PACKAGE_MANIFEST'] ?? '')).json()) as Record<string, unknown>;
  const withManifest = (change: object, name: string) => ({
    ...env,
    WEBDIST_PACKAGE_MANIFEST: locator(name, JSON.stringify({ ...manifest, ...change })),
  });

  await t.test('a correct installation passes every check', async (t) => {
    const found = await runDoctor({ env });
    t.strictSame(
      found.filter(({ result }) => result !== 'ok' && result !== 'info'),
      [],
    );
    t.ok(found.length >= 30, `${found.length} checks`);
    t.equal(new Set(checks.map(({ id }) => id)).size, checks.length, 'ids are unique');
    for (const { id, found: text, why } of found) t.ok(text && why, id);
  });

  await t.test('before the first start, no check fails because of what the first start creates', async (t) => {
    const fresh = { ...env, WEBDIST_DATA_DIR: join(folder, 'none') };
    t.strictSame(await problems(fresh), []);
  });

  const inDays = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 10);
  type Case = readonly [expected: string, env: () => Environment | Promise<Environment>];
  const newVault = async () => {
    const vault = await startVault();
    t.teardown(() => vault[Symbol.asyncDispose]());
    return vault;
  };
  const cases: readonly Case[] = [
    ['fail settings', () => ({ ...env, PORT: 'x', WEBDIST_NOPE: '1' })],
    ['warn mode', () => ({ ...env, WEBDIST_MODE: 'sandbox', WEBDIST_ANONYMOUS: 'pages' })],
    ['warn register', () => ({ ...env, WEBDIST_REGISTER: 'off' })],
    ['warn callers', () => ({ ...env, WEBDIST_ANONYMOUS: 'any' })],
    ['warn api-keys', () => ({ ...env, WEBDIST_API_KEYS: `shop:${'0'.repeat(64)}::2025-12-31,app:${'1'.repeat(64)}` })],
    ['warn api-keys', () => ({ ...env, WEBDIST_API_KEYS: `shop:${'0'.repeat(64)}:60:${inDays(3)}` })],
    ['warn origins', () => ({ ...env, WEBDIST_ALLOWED_ORIGINS: 'http://shop.example.com' })],
    ['warn token-lifetime', () => ({ ...env, WEBDIST_TOKEN_LIFETIME: '60' })],
    [
      'fail sign-in',
      () => ({
        ...env,
        WEBDIST_OAUTH: 'off',
        WEBDIST_AUTH_JWKS_URL: 'http://127.0.0.1:1/jwks',
        WEBDIST_AUTH_ISSUER: 'i',
        WEBDIST_AUTH_AUDIENCE: 'a',
      }),
    ],
    ['fail key-held', () => ({ ...env, WEBDIST_KEY: 'file:///none.pem' })],
    ['warn key-held', () => ({ ...env, WEBDIST_KEY: `${env['WEBDIST_KEY']} file:///none.pem` })],
    ['fail key-held', () => ({ ...env, WEBDIST_KEY: locator('garbage.pem', 'garbage') })],
    [
      'warn key-repaired',
      () => ({ ...env, WEBDIST_KEY: locator('quoted.pem', `"${ownPem.replaceAll('\n', '\\n')}"`) }),
    ],
    ['warn key-file-mode', () => ({ ...env, WEBDIST_KEY: locator('open.pem', ownPem, 0o644) })],
    ['fail key-not-api-key', () => ({ ...env, WEBDIST_KEY: locator('AuthKey_ABCDEFGHIJ.p8', ownPem) })],
    ['fail api-key-held', () => ({ ...noApiKey, ASC_PRIVATE_KEY_PATH: '/none.p8' })],
    ['warn api-key-repaired', () => ({ ...noApiKey, ASC_PRIVATE_KEY: apiPem.replaceAll('\n', '\\n') })],
    ['warn api-key-file-mode', () => ({ ...noApiKey, ASC_PRIVATE_KEY_PATH: file('api.p8', apiPem, 0o644) })],
    ['fail api-key-name', () => ({ ...noApiKey, ASC_PRIVATE_KEY_PATH: file('AuthKey_WRONGID123.p8', apiPem) })],
    ['fail api-key-name', () => ({ ...noApiKey, ASC_PRIVATE_KEY_PATH: file('SubscriptionKey_A.p8', apiPem) })],
    ['fail api-reachable', () => ({ ...env, ASC_BASE_URL: 'http://127.0.0.1:1' })],
    ['fail api-credentials', () => ({ ...env, ASC_KEY_ID: 'REVOKED123' })],
    ['fail api-credentials', () => ({ ...env, ASC_ISSUER_ID: '57246542-96fe-1a63-e053-0824d011072a' })],
    ['fail api-credentials', () => ({ ...env, ASC_ISSUER_ID: '' })],
    ['fail api-credentials', () => ({ ...env, ASC_PRIVATE_KEY_B64: Buffer.from(newPem()).toString('base64') })],
    [
      'fail app-found',
      () => ({
        ...env,
        WEBDIST_APPLE_ITEM_ID: '6500000009',
        WEBDIST_PACKAGE_MANIFEST: locator('9.json', JSON.stringify({ ...manifest, appleItemId: '6500000009' })),
      }),
    ],
    ['fail key-matches', () => ({ ...env, WEBDIST_KEY: locator('other.pem', newPem()) })],
    [
      'fail domain-registered',
      () => ({ ...env, WEBDIST_DOMAIN: 'www.example.org', WEBDIST_PACKAGE_URL: 'https://www.example.org/adp' }),
    ],
    ['warn ledger-kind', () => ({ ...env, WEBDIST_LEDGER: 'memory:' })],
    ['warn ledger-kind', () => ({ ...env, WEBDIST_LEDGER: 'off' })],
    ['fail ledger', () => ({ ...env, WEBDIST_LEDGER: `sqlite://${file('garbage.sqlite', 'garbage '.repeat(1000))}` })],
    ['fail redis', () => ({ ...env, WEBDIST_REDIS_URL: 'redis://127.0.0.1:1' })],
    ['fail package-manifest', () => ({ ...env, WEBDIST_PACKAGE_MANIFEST: 'file:///none.json' })],
    ['fail package-manifest', () => ({ ...env, WEBDIST_PACKAGE_MANIFEST: locator('html.json', '<html>') })],
    ['fail package-app', () => withManifest({ bundleId: 'com.example.other' }, 'app.json')],
    ['fail package-version', () => withManifest({ appleVersionId: 42 }, 'version.json')],
    ['fail package-platform', () => withManifest({ platforms: ['macos'] }, 'platform.json')],
    ['fail package-variants', () => withManifest({ variants: [] }, 'variants.json')],
    ['fail package-host', () => ({ ...env, WEBDIST_PACKAGE_URL: 'https://cdn.example.net/adp' })],
    ['warn package-host', () => ({ ...env, WEBDIST_PACKAGE_URL: 'https://example.com:8443/adp' })],
    [
      'warn package-url',
      () => Object.fromEntries(Object.entries(env).filter(([name]) => name !== 'WEBDIST_PACKAGE_URL')),
    ],
    [
      'warn key-rotation',
      async () => {
        const { url, rootToken } = await newVault();
        await administer(url, rootToken, 'POST', 'sys/mounts/transit', { type: 'transit' });
        await administer(url, rootToken, 'POST', 'transit/keys/rotating', { type: 'ecdsa-p256' });
        await administer(url, rootToken, 'POST', 'transit/keys/rotating/config', { auto_rotate_period: 86_400 });
        const keys = `${env['WEBDIST_KEY']} hashivault://rotating`;
        return { ...env, WEBDIST_KEY: keys, VAULT_ADDR: url, VAULT_TOKEN: rootToken };
      },
    ],
    [
      'warn key-signs',
      async () => {
        const vault = await newVault();
        await administer(vault.url, vault.rootToken, 'POST', 'sys/mounts/transit', { type: 'transit' });
        await administer(vault.url, vault.rootToken, 'POST', 'transit/keys/slow', { type: 'ecdsa-p256' });
        const proxy = createServer(async (request, response) => {
          const body = request.method === 'POST' ? await new Response(request as never).text() : undefined;
          await new Promise((done) => setTimeout(done, 600));
          const answer = await fetch(`${vault.url}${request.url}`, {
            method: request.method ?? 'GET',
            headers: {
              'X-Vault-Request': 'true',
              'X-Vault-Token': vault.rootToken,
              'Content-Type': 'application/json',
            },
            ...(body !== undefined && { body }),
          });
          response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
        });
        t.teardown(() => proxy.close());
        const port = await listen(proxy);
        // The slow key is an additional candidate, so that its slowness is the only fault.
        return {
          ...env,
          WEBDIST_KEY: `${env['WEBDIST_KEY']} hashivault://slow`,
          VAULT_ADDR: `http://127.0.0.1:${port}`,
          VAULT_TOKEN: vault.rootToken,
        };
      },
    ],
  ];
  for (const [expected, broken] of cases)
    await t.test(expected, async (t) => t.strictSame(await problems(await broken()), [expected]));

  await t.test('refusals of App Store Connect', async (t) => {
    const refusals: readonly (readonly [string, object])[] = [
      ['fail api-role', { path: '/v1/alternativeDistributionKeys', status: 403 }],
      ['fail api-agreement', { status: 403, code: 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED' }],
      ['fail api-rate', { status: 429 }],
      ['fail api-reachable', { status: 503 }],
      ['fail api-answer', { status: 400 }],
      ['fail clock', { clockSkewSeconds: 120 }],
      ['warn clock', { clockSkewSeconds: -10 }],
    ];
    for (const [expected, fault] of refusals) {
      await setFault(sandbox, fault);
      t.strictSame(await problems(env), [expected], expected);
      await endFaults(sandbox);
    }
  });

  await t.test('an individual key with an issuer id', async (t) => {
    const { keyId, privateKeyPem } = sandbox.individualKey;
    const individual = {
      ...env,
      ASC_KEY_ID: keyId,
      ASC_PRIVATE_KEY_B64: Buffer.from(privateKeyPem).toString('base64'),
    };
    const found = (await runDoctor({ env: individual })).filter(({ result }) => result === 'fail');
    t.match(found, [{ id: 'api-credentials', found: /is an individual key/, hint: /Unset ASC_ISSUER_ID/ }]);
    t.strictSame(await problems({ ...individual, ASC_ISSUER_ID: '' }), []);
  });

  await t.test('the data folder', async (t) => {
    chmodSync(dataDir, 0o755);
    t.strictSame(await problems(env), ['warn data-folder']);
    chmodSync(dataDir, 0o700);
    chmodSync(join(dataDir, 'ledger-secret'), 0o644);
    t.strictSame(await problems(env), ['warn ledger-secret']);
    chmodSync(join(dataDir, 'ledger-secret'), 0o600);
    const memory = join(dataDir, 'registration.json');
    copyFileSync(memory, join(folder, 'registration.json'));
    writeFileSync(memory, 'garbage');
    t.strictSame(await problems(env), ['fail registration-store']);
    const before = readFileSync(join(folder, 'registration.json'), 'utf8');
    writeFileSync(memory, before.replace(/"keyId": "[^"]+"/, '"keyId": "another"'));
    t.strictSame(await problems(env), ['warn registration-store']);
    renameSync(join(folder, 'registration.json'), memory);
    mkdirSync(join(folder, 'sealed'), { mode: 0o500 });
    const isRoot = process.getuid?.() === 0;
    const sealed = { ...env, WEBDIST_DATA_DIR: join(folder, 'sealed') };
    t.strictSame(await problems(sealed), isRoot ? [] : ['fail data-folder'], isRoot ? 'root can write everywhere' : '');
  });

  await t.test('the licence server', async (t) => {
    const faults: readonly (readonly [LicenceServer['fault'], string])[] = [
      ['down', 'fail licence-endpoints'],
      ['no certificates', 'fail licence-certificates'],
      ['certificates that expire soon', 'warn licence-certificates'],
      ['certificates that have expired', 'fail licence-certificates'],
      ['a page', 'warn licence-endpoints'],
      ['a redirect', 'warn licence-endpoints'],
    ];
    for (const [fault, expected] of faults) {
      licence.fault = fault;
      t.strictSame(await problems(env), [expected]);
    }
    licence.fault = undefined;
    const names = Object.keys(licence.settings);
    t.strictSame(await problems({ ...env, WEBDIST_LICENSE_RENEWAL_URL: '' }), ['fail licence-settings'], 'one missing');
    const none = Object.fromEntries(names.map((name) => [name, '']));
    t.strictSame(await problems({ ...env, ...none }), ['fail licence-settings'], 'all missing');
  });

  await t.test('mixed-up keys', async (t) => {
    const config = file(
      'apps.yaml',
      JSON.stringify({
        domain: env['WEBDIST_DOMAIN'],
        apps: ['6500000001', '6500000002'].map((appleItemId) => ({
          appleItemId,
          bundleId: appleItemId === '6500000001' ? 'com.example.trailmap' : 'com.example.other',
          key: env['WEBDIST_KEY'],
          packageUrl: env['WEBDIST_PACKAGE_URL'],
          packageManifest: locator(
            `${appleItemId}.json`,
            JSON.stringify({
              ...manifest,
              appleItemId,
              bundleId: appleItemId === '6500000001' ? 'com.example.trailmap' : 'com.example.other',
            }),
          ),
        })),
      }),
    );
    const several = Object.fromEntries(
      Object.entries(env).filter(([name]) => !/^WEBDIST_(APPLE|BUNDLE|KEY|PACKAGE|APP_SHARE|DOMAIN)/.test(name)),
    );
    t.strictSame(await problems({ ...several, WEBDIST_CONFIG: config }), ['fail keys-distinct', 'fail app-found']);
    const same = { ...env, WEBDIST_KEY: 'env://ASC_PRIVATE_KEY_B64' };
    t.ok((await problems(same)).includes('fail key-not-api-key'));
  });

  await t.test('the registration', async (t) => {
    const { openAppStoreConnect } = await import('../../src/app-store-connect/client.ts');
    const { openLocalSigner } = await import('../../src/signer/local.ts');
    const { openLog } = await import('../../src/log.ts');
    const { signer } = openLocalSigner(apiPem, 'env');
    const asc = openAppStoreConnect({
      baseUrl: sandbox.baseUrl,
      keyId: env['ASC_KEY_ID'] ?? '',
      issuerId: env['ASC_ISSUER_ID'],
      signer,
      log: openLog('silent'),
    });
    t.teardown(() => asc.close());
    const other = await asc.addKey({ publicKey: openLocalSigner(newPem(), 'env').signer.publicKey });
    t.strictSame(await problems(env), ['warn keys-forgotten']);
    await asc.removeKey(other.id);
    const domain = await asc.addDomain({ domain: 'old-shop.example', referenceName: 'old' });
    t.strictSame(await problems(env), ['warn domains-forgotten']);
    await asc.removeDomain(domain.id);
    const own = await asc.appKey('6500000001');
    await asc.removeKey(own?.id ?? '');
    t.strictSame(await problems(env), ['fail key-registered']);
    await asc.addKey({ publicKey: openLocalSigner(ownPem, 'env').signer.publicKey });
    t.strictSame(await problems(env), ['warn key-scope']);
  });
});
