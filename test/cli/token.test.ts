/** `token mint` and `token verify` as processes, against the simulated App Store Connect and device. */

import t from 'tap';
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
