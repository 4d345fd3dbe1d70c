/** `api-token` as a process, against the simulated App Store Connect. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt, decodeProtectedHeader, importPKCS8, jwtVerify } from 'jose';
import t from 'tap';
import { openLocalSigner } from '../../../src/signer/local.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { webdist, webdistJson } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';

t.test('api-token: three kinds, with exactly the claims of each', async (t) => {
  const { settings, individualKey, inAppPurchaseKey, ...sandbox } = await startSandbox(t);
  const env: Record<string, string> = { ...settings };
  const pem = Buffer.from(env['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString();
  const claimsOf = async (apiToken: string, privateKeyPem: string) => {
    const { publicKey } = openLocalSigner(privateKeyPem, 'test').signer;
    return (await jwtVerify(apiToken, publicKey, { algorithms: ['ES256'], audience: 'appstoreconnect-v1' })).payload;
  };
  const ask = (apiToken: string) =>
    fetch(`${sandbox.baseUrl}/v1/apps`, { headers: { authorization: `Bearer ${apiToken}` } });
  t.ok(await importPKCS8(pem, 'ES256'));

  const team = await webdist(['api-token', '--kind', 'team'], env);
  t.match(team, { code: 0, stderr: '' });
  const teamToken = team.stdout.trimEnd();
  t.strictSame(decodeProtectedHeader(teamToken), { alg: 'ES256', kid: env['ASC_KEY_ID'], typ: 'JWT' });
  const teamClaims = await claimsOf(teamToken, pem);
  t.strictSame(Object.keys(teamClaims), ['iss', 'iat', 'exp', 'aud']);
  t.equal(teamClaims.iss, env['ASC_ISSUER_ID']);
  t.equal((teamClaims.exp ?? 0) - (teamClaims.iat ?? 0), 900);
  t.equal((await ask(teamToken)).status, 200);

  const given = {
    ASC_KEY_ID: individualKey.keyId,
    ASC_PRIVATE_KEY: individualKey.privateKeyPem,
    ASC_BASE_URL: sandbox.baseUrl,
  };
  const individual = await webdistJson<{ apiToken: string }>(
    ['api-token', '--kind', 'individual', '--lifetime', '60'],
    given,
  );
  const individualClaims = await claimsOf(individual.apiToken, individualKey.privateKeyPem);
  t.strictSame(Object.keys(individualClaims), ['sub', 'iat', 'exp', 'aud']);
  t.equal(individualClaims.sub, 'user');
  t.equal((await ask(individual.apiToken)).status, 200);

  const flags = [
    '--key',
    'env://IAP',
    '--key-id',
    inAppPurchaseKey.keyId,
    '--issuer-id',
    inAppPurchaseKey.issuerId ?? '',
  ];
  const purchase = await webdist(
    ['api-token', '--kind', 'in-app-purchase', ...flags, '--bundle-id', 'com.example.trailmap', '--lifetime', '3600'],
    { IAP: inAppPurchaseKey.privateKeyPem },
  );
  const purchaseClaims = await claimsOf(purchase.stdout.trim(), inAppPurchaseKey.privateKeyPem);
  t.strictSame(Object.keys(purchaseClaims), ['iss', 'iat', 'exp', 'aud', 'bid']);
  t.equal(purchaseClaims['bid'], 'com.example.trailmap');
  t.equal((await ask(purchase.stdout.trim())).status, 401, 'refused by App Store Connect');

  await t.test('the kind and the id are inferred', async (t) => {
    const folder = temporaryFolder(t);
    const file = (name: string, text: string) => {
      const path = join(folder, name);
      writeFileSync(path, text, { mode: 0o600 });
      return path;
    };
    const subscription = file('SubscriptionKey_ABCDEFGHIJ.p8', inAppPurchaseKey.privateKeyPem);
    const api = file(`AuthKey_${individualKey.keyId}.p8`, individualKey.privateKeyPem);
    const issuer = { ASC_ISSUER_ID: env['ASC_ISSUER_ID'] ?? '' };
    const cases: readonly (readonly [args: string[], env: Record<string, string>, kind: string, keyId: string])[] = [
      [[], env, 'team', env['ASC_KEY_ID'] ?? ''],
      [[], given, 'individual', individualKey.keyId],
      [[], { ASC_PRIVATE_KEY_PATH: api }, 'individual', individualKey.keyId],
      [['--issuer-id', issuer.ASC_ISSUER_ID], { ASC_PRIVATE_KEY_PATH: api }, 'team', individualKey.keyId],
      [['--key', `file://${api}`], env, 'team', individualKey.keyId],
      [
        ['--key', `file://${subscription}`],
        { ...issuer, WEBDIST_BUNDLE_ID: 'com.example.a' },
        'in-app-purchase',
        'ABCDEFGHIJ',
      ],
      [['--bundle-id', 'com.example.a'], env, 'in-app-purchase', env['ASC_KEY_ID'] ?? ''],
    ];
    for (const [args, settings, kind, keyId] of cases)
      t.match(await webdistJson(['api-token', ...args], settings), { kind, keyId }, args.join(' '));
  });

  await t.test(
    'a clock that is slightly fast does no harm: iat is in the past, and the end is not at the limit',
    async (t) => {
      const app = { ...env, WEBDIST_BUNDLE_ID: 'com.example.a' };
      for (const [kind, lifetime, lead] of [
        ['team', undefined, 30],
        ['individual', undefined, 30],
        ['in-app-purchase', undefined, 30],
        ['team', '1200', 30],
        ['individual', '40', 20],
        ['team', '1', 0],
      ] as const) {
        const startsAt = Math.floor(Date.now() / 1000);
        const args = ['--kind', kind, ...(lifetime === undefined ? [] : ['--lifetime', lifetime])];
        const { iat = 0, exp = 0 } = decodeJwt((await webdist(['api-token', ...args], app)).stdout.trim());
        t.ok(
          iat + lead >= startsAt && iat + lead <= Date.now() / 1000,
          `${args.join(' ')}: iat is ${lead} s in the past`,
        );
        t.equal(exp - iat, Number(lifetime ?? 900), args.join(' '));
        t.ok(exp > startsAt, args.join(' '));
      }
    },
  );

  await t.test('scope and curl', async (t) => {
    const scoped = await webdist(['api-token', '--kind', 'team', '--scope', 'GET /v1/apps', '--curl'], env);
    const [, apiToken = '', url] = /Bearer (\S+)' '([^']+)'/.exec(scoped.stdout) ?? [];
    t.equal(url, `${sandbox.baseUrl}/v1/apps`);
    t.strictSame((await claimsOf(apiToken, pem))['scope'], ['GET /v1/apps']);
    t.equal((await ask(apiToken)).status, 200);
    const elsewhere = await fetch(`${sandbox.baseUrl}/v1/alternativeDistributionKeys`, {
      headers: { authorization: `Bearer ${apiToken}` },
    });
    t.equal(elsewhere.status, 403);
  });

  await t.test('JWTs that Apple would refuse are refused, with the reason', async (t) => {
    const refused = async (args: string[], says: RegExp, given = env) =>
      t.match(await webdist(['api-token', ...args], given), { code: 2, stdout: '', stderr: says }, args.join(' '));
    await refused(['--kind', 'team', '--lifetime', '1201'], /cannot be valid for 1201 seconds.+from 1 to 1200/);
    await refused(['--kind', 'in-app-purchase', '--lifetime', '3601'], /from 1 to 3600/);
    await refused(['--kind', 'team', '--lifetime', 'x'], /whole seconds/);
    await refused(['--kind', 'in-app-purchase'], /needs a bundle id/, { ...env, WEBDIST_BUNDLE_ID: '' });
    await refused(['--kind', 'team'], /needs the issuer id/, { ...env, ASC_ISSUER_ID: '' });
    await refused(['--kind', 'team'], /needs the key id/, { ...env, ASC_KEY_ID: '' });
    await refused(['--kind', 'individual', '--issuer-id', 'x'], /must not have an issuer id/);
    await refused(['--kind', 'team', '--bundle-id', 'x.y'], /Only the JWT of an In-App Purchase key/);
    await refused(['--kind', 'team', '--scope', 'POST /v1/apps'], /GET only/);
    await refused(['--kind', 'in-app-purchase', '--scope', 'GET /'], /has no scope/);
    await refused(['--kind', 'enterprise'], /team, individual, in-app-purchase/);
    await refused(['--kind', 'team'], /No API key is given/, {});
    const folder = temporaryFolder(t);
    const p384 = join(folder, 'p384.pem');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    writeFileSync(p384, privateKey.export({ format: 'pem', type: 'pkcs8' }));
    const wrongCurve = await webdist(['api-token', '--kind', 'team', '--key', `file://${p384}`], env);
    t.match(wrongCurve, { code: 1, stdout: '', stderr: /^webdist: --key: .+secp384r1/ });
  });
});
