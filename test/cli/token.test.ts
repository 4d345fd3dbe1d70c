/** `token mint`, `token verify` and `api-token` as processes, against the simulated App Store Connect and device. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt, decodeProtectedHeader, importPKCS8, jwtVerify } from 'jose';
import t from 'tap';
import { openLocalSigner } from '../../src/signer/local.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist, webdistJson } from '../harness/process.ts';
import { endFaults, requestsSeen, setFault, startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

type Minted = { token: string; dtype: string; keyId: string; nonce: string; installUrl: string; expiresAt: string };

t.test('token mint and verify', async (t) => {
  const sandbox = await startSandbox(t);
  const dataDir = temporaryFolder(t);
  const env: Record<string, string> = { ...sandbox.settings, WEBDIST_DATA_DIR: dataDir };

  const none = await webdist(['token', 'mint'], { ...env, WEBDIST_REGISTER: 'check' });
  t.match(none, { code: 1, stdout: '', stderr: /^webdist: No distribution key .+ is not at App Store Connect\..+\n$/ });
  t.strictSame(await requestsSeen(sandbox, 'POST'), [], 'it registers as little as the service would');

  const service = await startReady(t, sandbox, { WEBDIST_DATA_DIR: dataDir });
  const minted = await webdistJson<Minted>(
    ['token', 'mint', '--app', 'com.example.trailmap', '--subject', 'anna'],
    env,
  );
  t.match(minted, { dtype: 'download', keyId: /^[0-9a-f-]{36}$/, nonce: /^[0-9A-F-]{36}$/ });
  const pageUrl = 'https://example.com/trailmap';
  t.match(await sandbox.device({ installUrl: minted.installUrl, pageUrl }), { accepted: true });

  const human = await webdist(['token', 'mint', '--dtype', 'redownload'], env);
  t.equal(human.code, 0);
  const [token = '', link] = human.stdout.split('\n');
  t.match(link, /^marketplace-kit:\/\/install\?/);
  t.match(human.stderr, /^redownload of com\.example\.trailmap, key .+, valid until .+\n$/);

  t.match(await webdist(['token', 'mint', '--app', 'com.none'], env), { code: 1, stderr: /no app of this server/ });
  t.match(await webdist(['token', 'mint', '--dtype', 'first'], env), { code: 2, stderr: /download, redownload/ });
  t.match(await webdist(['token', 'mint']), {
    code: 1,
    stderr: /settings are wrong \(no app is configured: .+ init`? asks .+\):\n {2}WEBDIST_DOMAIN/,
  });

  await t.test('verify: from stdin, with the registered key', async (t) => {
    const verdict = await webdist(['token', 'verify', '-'], env, `${token}\n`);
    t.equal(verdict.code, 0);
    t.match(verdict.stdout, /^ok {4}signature +verifies with the public key .+ from App Store Connect$/m);
    t.match(verdict.stdout, /\nA device would accept it\.\n$/);
    t.match(await webdistJson(['token', 'verify', token], env), { accepted: true, claims: { dtype: 'redownload' } });
  });

  await t.test('verify: with a JWK set, a file, and the data folder', async (t) => {
    const jwks = `${service.url}/.well-known/jwks.json`;
    t.match(await webdist(['token', 'verify', '--jwks', jwks, token]), { code: 0, stdout: /jwks\.json/ });
    const path = new URL(env['WEBDIST_KEY'] ?? '').pathname;
    t.match(await webdist(['token', 'verify', '--key', path, token]), {
      code: 0,
      stdout: /whether that is registered/,
    });
    const remembered = await webdist(['token', 'verify', token], { WEBDIST_DATA_DIR: dataDir });
    t.match(remembered, { code: 0, stdout: /from the data folder/, stderr: /keys are from the data folder/ });
    t.match(await webdist(['token', 'verify', token], { WEBDIST_DATA_DIR: temporaryFolder(t) }), {
      code: 2,
      stderr: /no public key .+ --key FILE or --jwks URL/,
    });
    t.match(await webdist(['token', 'verify', '--jwks', 'http://127.0.0.1:1/', token]), { code: 1, stderr: /JWK set/ });
    t.match(await webdist(['token', 'verify', '--jwks', 'x', token]), { code: 2 });
    t.match(await webdist(['token', 'verify', '--key', '/none', token]), { code: 1, stderr: /ENOENT/ });
    t.match(await webdist(['token', 'verify', '--key', 'a', '--jwks', 'https://b.example', token]), {
      code: 2,
      stderr: /not both/,
    });
    t.match(await webdist(['token', 'verify']), { code: 2, stderr: /missing required argument 'token'/ });
  });

  await t.test('verify: was it issued here?', async (t) => {
    const { nonce } = (await webdistJson<{ claims: { nonce: string } }>(['token', 'verify', token], env)).claims;
    const app = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
    const ours = { isOurs: true, ...app, issuedInMinute: /^\d{4}-\d\d-\d\dT\d\d:\d\dZ$/ };
    t.match((await webdistJson<{ origin: object }>(['token', 'verify', token], env)).origin, ours);
    t.match(
      (await webdist(['token', 'verify', token], env)).stdout,
      /^ok {4}origin +ours: app com\.example\.trailmap \(6500000001\), minute .+Z$/m,
    );
    t.match((await webdistJson<{ origin: object }>(['token', 'verify', nonce.toLowerCase()], env)).origin, ours);
    t.match(await webdist(['token', 'verify', '-'], env, `${nonce}\n`), { code: 0, stdout: /^ok {4}ours: app .+\n$/ });

    const withoutApps = { WEBDIST_DATA_DIR: dataDir };
    t.match((await webdist(['token', 'verify', token], withoutApps)).stdout, /origin +ours: app 6500000001, minute/);
    t.match(await webdist(['token', 'verify', nonce], withoutApps), { code: 1, stdout: /not in these settings/ });
    const others = { ...env, WEBDIST_LEDGER_SECRET: 'another secret, of another service' };
    t.match(
      (await webdist(['token', 'verify', token], others)).stdout,
      /^warn {2}origin +not ours: .+another ledger secret/m,
    );
    t.match(await webdist(['token', 'verify', nonce], others), { code: 1, stdout: /^warn {2}/ });
    const elsewhere = { ...env, WEBDIST_DATA_DIR: temporaryFolder(t) };
    t.match(
      (await webdist(['token', 'verify', token], elsewhere)).stdout,
      /^info {2}origin +unknown: .+ledger secret is not available/m,
    );
    t.match(await webdist(['token', 'verify', nonce], elsewhere), {
      code: 2,
      stdout: '',
      stderr: /ledger secret is not available/,
    });

    const [header, payload = '', signature] = token.split('.');
    const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
    const later = Buffer.from(JSON.stringify({ ...claims, iat: claims.iat + 120 })).toString('base64url');
    const forged = await webdist(['token', 'verify', [header, later, signature].join('.')], env);
    t.match(forged, { code: 1, stdout: /^warn {2}origin +not ours: the nonce is of another token \(app /m });
  });

  await t.test('verify: refused, with the cause, and exit 1', async (t) => {
    const apiToken = (await webdist(['api-token', '--kind', 'team'], env)).stdout.trim();
    const verdict = await webdist(['token', 'verify', apiToken], env);
    t.equal(verdict.code, 1);
    t.match(verdict.stdout, /^fail {2}kid +".+API key$/m);
    t.match(verdict.stdout, /likely cause: this is a bearer token for an Apple API/);
    t.match(verdict.stdout, /\nA device would refuse it\.\n$/);
    const json = await webdist(['token', 'verify', '--json', 'garbage'], env);
    t.equal(json.code, 1);
    t.match(JSON.parse(json.stdout), { accepted: false, checks: [{ name: 'shape', result: 'fail' }] });
  });

  await t.test('while Apple is down, it signs with the stored key id', async (t) => {
    await setFault(sandbox, { drop: true });
    const offline = await webdistJson<Minted>(['token', 'mint'], env);
    t.equal(offline.keyId, minted.keyId);
    const verdict = await webdist(['token', 'verify', offline.token], env);
    t.match(verdict, { code: 0, stderr: /App Store Connect was not used: .+no answer/ });
    await endFaults(sandbox);
    t.match(await sandbox.device({ token: offline.token }), { accepted: true });
  });
});

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
