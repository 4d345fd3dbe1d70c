/** The verdict of the simulated device: for every line of the rejection checklist, a token or a link that violates only that. */

import { randomUUID, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { Verdict } from '../../../src/sandbox/device/judge.ts';
import { openSandbox } from '../../../src/sandbox/sandbox.ts';
import {
  APP,
  addKey,
  call,
  control,
  DOMAINS,
  domainEntity,
  jws,
  KEYS,
  keyEntity,
  newKey,
  pemOf,
} from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const PACKAGE = `https://example.com/adp/${APP}`;
const PAGE = 'https://example.com/get';
const nowSeconds = Math.floor(Date.now() / 1000);

/** A sandbox with a key for the app and a domain, and a function that makes tokens that are valid except for the changes. */
async function openAccount(t: Test, options: { dataDir?: string } = {}) {
  const sandbox = await startSandbox(t, options);
  const { publicKey, privateKey } = newKey();
  const { id: kid } = await addKey(sandbox, publicKey);
  await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'));
  const mint = (claims: object = {}, header: object = {}, key = privateKey) =>
    jws(
      { alg: 'ES256', kid, typ: 'JWT', ...header },
      {
        iss: APP,
        iat: nowSeconds,
        exp: nowSeconds + 1200,
        aud: 'AppleDownloadVerification-v1',
        bid: 'com.example.trailmap',
        dtype: 'download',
        nonce: randomUUID().toUpperCase(),
        iid: APP,
        vid: '2000000042',
        ccode: 'IE',
        ...claims,
      },
      key,
    );
  return { sandbox, mint, kid, privateKey };
}

const linkOf = (token: string, packageUrl = PACKAGE) =>
  `marketplace-kit://install?alternativeDistributionPackage=${encodeURIComponent(packageUrl)}` +
  `&installVerificationToken=${token}`;

const failed = ({ checks }: Verdict) => checks.filter(({ ok }) => !ok).map(({ name }) => name);
const warned = ({ checks }: Verdict) => checks.filter(({ warning }) => warning).map(({ name }) => name);
const detailOf = ({ checks }: Verdict, name: string) => checks.find((check) => check.name === name)?.detail;

t.test('a valid link is accepted once, with every check in order', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const request = { installUrl: linkOf(mint()), pageUrl: PAGE };
  const { status, body: verdict } = await control(sandbox, 'POST', 'device', request);
  t.equal(status, 200);
  t.ok(verdict.accepted);
  t.strictSame(
    verdict.checks.map(({ name }: { name: string }) => name),
    `link-scheme link-query token-present package-url page-url package-host registered-domain package-manifest
    shape alg typ signature kid app iss iat exp aud bid dtype nonce iid vid ccode dtype_history`
      .split(/\s+/)
      .map((name) => name.replace('_', ' ')),
  );
  t.strictSame(warned(verdict), []);
  const again = await sandbox.device(request);
  t.equal(again.accepted, false);
  t.strictSame(failed(again), ['nonce']);
  t.match(detailOf(again, 'nonce'), /seen before/);
  t.equal((await control(sandbox, 'DELETE', 'device')).status, 204);
  t.ok((await sandbox.device(request)).accepted, 'a new device has seen nothing');
});

t.test('links that are refused', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const query = `alternativeDistributionPackage=${encodeURIComponent(PACKAGE)}`;
  const token = () => `installVerificationToken=${mint()}`;
  const refused: [line: number, name: string, check: string, installUrl: string, pageUrl?: string][] = [
    [1, 'another scheme', 'link-scheme', linkOf(mint()).replace('marketplace-kit', 'itms')],
    [1, 'another host', 'link-scheme', linkOf(mint()).replace('install?', 'update?')],
    [1, 'broken encoding', 'link-query', `${linkOf(mint())}&account=%E0%A4`],
    [3, 'no token', 'token-present', `marketplace-kit://install?${query}`],
    [3, 'an empty token', 'token-present', linkOf('')],
    [3, 'two tokens', 'token-present', `${linkOf(mint())}&${token()}`],
    [4, 'no package', 'package-url', `marketplace-kit://install?${token()}`],
    [4, 'the misspelt name', 'package-url', linkOf(mint()).replace('alternativeDist', 'alternateDist')],
    [4, 'http', 'package-url', linkOf(mint(), PACKAGE.replace('https', 'http'))],
    [4, 'a port', 'package-url', linkOf(mint(), PACKAGE.replace('.com', '.com:8443'))],
    [4, 'a relative URL', 'package-url', linkOf(mint(), `/adp/${APP}`)],
    [5, 'a page that is not https', 'page-url', linkOf(mint()), 'http://example.com/get'],
    [5, 'a page on another host', 'package-host', linkOf(mint()), 'https://get.example.com/'],
    [32, 'an unknown package', 'package-manifest', linkOf(mint(), 'https://example.com/adp/1')],
  ];
  for (const [line, name, check, installUrl, pageUrl = PAGE] of refused) {
    const verdict = await sandbox.device({ installUrl, pageUrl });
    t.equal(verdict.accepted, false, name);
    t.strictSame(failed(verdict), [check], `line ${line}: ${name}`);
  }
  const query5 = await sandbox.device({ installUrl: linkOf(mint(), `${PACKAGE}?v=1`), pageUrl: PAGE });
  t.ok(failed(query5).includes('package-url'), 'a query on the package');
  const spaced = await sandbox.device({ installUrl: `${linkOf(mint())}&account=a b`, pageUrl: PAGE });
  t.ok(failed(spaced).includes('link-scheme'), 'white space');
});

t.test('line 6: the registered domain or a subdomain of it, not a look-alike', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  for (const [host, ok] of [
    ['example.com', true],
    ['EXAMPLE.com', true],
    ['get.example.com', true],
    ['notexample.com', false],
    ['example.com.evil.example', false],
  ] as const) {
    const pageUrl = `https://${host}/`;
    const { checks } = await sandbox.device({ installUrl: linkOf(mint(), `https://${host}/adp`), pageUrl });
    t.equal(checks.find(({ name }) => name === 'registered-domain')?.ok, ok, host);
  }
  const { data } = (await call(sandbox, 'GET', DOMAINS)).body;
  await call(sandbox, 'DELETE', `${DOMAINS}/${data[0]?.id}`);
  const verdict = await sandbox.device({ installUrl: linkOf(mint()), pageUrl: PAGE });
  t.strictSame(failed(verdict), ['registered-domain']);
});

t.test('tokens that are refused, in a link and alone', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  // Within the seconds that a device tolerates, so they are taken when the token is made.
  const justAhead = () => ({ iat: Math.floor(Date.now() / 1000) + 4, exp: Math.floor(Date.now() / 1000) + 3 });
  const ms = { iat: nowSeconds * 1000, exp: nowSeconds * 1000 + 1_200_000 };
  const refused: [line: number, check: string, detail: RegExp, claims: object, header?: object][] = [
    [7, 'app', /no known app/, { iss: '1', bid: 'a.b', iid: undefined, vid: undefined }],
    [9, 'alg', /"HS256"/, {}, { alg: 'HS256' }],
    [9, 'alg', /"none"/, {}, { alg: 'none' }],
    [9, 'alg', /"ES384"/, {}, { alg: 'ES384' }],
    [9, 'typ', /"jwt"/, {}, { typ: 'jwt' }],
    [9, 'header', /jwk/, {}, { jwk: {} }],
    [9, 'header', /x5c/, {}, { x5c: [] }],
    [9, 'header', /crit/, {}, { crit: ['exp'] }],
    [10, 'kid', /^"/, {}, { kid: randomUUID() }],
    [10, 'kid', /missing/, {}, { kid: undefined }],
    [12, 'aud', /appstoreconnect-v1/, { aud: 'appstoreconnect-v1' }],
    [12, 'aud', /\[/, { aud: ['AppleDownloadVerification-v1'] }],
    [13, 'iss', /is a number/, { iss: Number(APP) }],
    [13, 'iss', /expected 6500000001/, { iss: '6500000002' }],
    [13, 'iss', /decimal string/, { iss: `0${APP}` }],
    [13, 'iss', /decimal string/, { iss: '18446744073709551616' }],
    [14, 'bid', /com\.example\.Trailmap/, { bid: 'com.example.Trailmap' }],
    [14, 'bid', /missing/, { bid: undefined }],
    [15, 'iat', /milliseconds/, { iat: ms.iat }],
    [15, 'exp', /milliseconds/, { exp: ms.exp }],
    [15, 'iat', /^"\d+", expected whole/, { iat: String(nowSeconds) }],
    [15, 'exp', /\.5, expected whole/, { exp: nowSeconds + 600.5 }],
    [15, 'iat', /missing/, { iat: undefined }],
    [16, 'exp', /expired \d+ s ago/, { iat: nowSeconds - 1300, exp: nowSeconds - 1 }],
    [16, 'iat', /in the future/, { iat: nowSeconds + 120 }],
    [16, 'exp', /not after/, justAhead],
    [17, 'exp', /missing/, { exp: undefined }],
    [19, 'dtype', /"Download"/, { dtype: 'Download' }],
    [19, 'dtype', /missing/, { dtype: undefined }],
    [21, 'nonce', /UUID/, { nonce: 'x' }],
    [21, 'nonce', /UUID/, { nonce: 5 }],
    [21, 'nonce', /UUID/, { nonce: randomUUID().replaceAll('-', '') }],
    [22, 'iid', /expected 6500000001/, { iid: '6500000002' }],
    [22, 'iid', /decimal string/, { iid: Number(APP) }],
    [23, 'vid', /2000000042/, { vid: '2000000031' }],
    [23, 'vid', /decimal string/, { vid: 2000000042 }],
  ];
  for (const [line, check, detail, claims, header] of refused)
    for (const isLink of [true, false]) {
      const token = mint(typeof claims === 'function' ? claims() : claims, header);
      const verdict = await sandbox.device(isLink ? { installUrl: linkOf(token), pageUrl: PAGE } : { token });
      t.strictSame([verdict.accepted, ...failed(verdict)], [false, check], `line ${line}: ${detail}`);
      t.match(detailOf(verdict, check), detail);
    }
});

t.test('line 8: tokens that are not a compact JWS', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const [header = '', payload = '', signature = ''] = mint().split('.');
  const encode = (text: string) => Buffer.from(text).toString('base64url');
  const refused: [token: string, detail: RegExp][] = [
    ['', /1 part,/],
    ['a.b', /2 parts/],
    [`${header}.${payload}.${signature}.x`, /4 parts/],
    [`${header}.${payload}.`, /signature is empty/],
    [`${header}.${payload}.${signature}==`, /contains \+ \/ or =/],
    [`${header}.${payload}.+/${signature.slice(2)}`, /contains \+ \/ or =/],
    [`${header}.${payload}.${signature};`, /not base64url/],
    [`${encode('[]')}.${payload}.${signature}`, /header is not a JSON object/],
    [`${header}.${encode('{"iss":')}.${signature}`, /payload is not a JSON object/],
    [`${header}.${Buffer.from([0x22, 0xff, 0x22]).toString('base64url')}.${signature}`, /payload is not/],
  ];
  for (const [token, detail] of refused) {
    const verdict = await sandbox.device({ token });
    t.strictSame(failed(verdict), ['shape'], String(detail));
    t.match(detailOf(verdict, 'shape'), detail);
    t.equal(verdict.checks.length, 1, 'nothing else can be said');
  }
});

t.test('lines 10 and 11: keys and signatures', async (t) => {
  const { sandbox, mint, kid, privateKey } = await openAccount(t);
  const other = newKey();
  const wrongKey = await sandbox.device({ token: mint({}, {}, other.privateKey) });
  t.strictSame(failed(wrongKey), ['signature']);
  t.match(detailOf(wrongKey, 'signature'), /does not verify/);

  const [header, payload, signature = ''] = mint().split('.');
  const der = sign('sha256', Buffer.from(`${header}.${payload}`), privateKey).toString('base64url');
  const isDer = await sandbox.device({ token: `${header}.${payload}.${der}` });
  t.strictSame(failed(isDer), ['signature']);
  t.match(detailOf(isDer, 'signature'), /in DER, expected the 64/);
  const short = await sandbox.device({ token: `${header}.${payload}.${signature.slice(0, 40)}` });
  t.match(detailOf(short, 'signature'), /has 30 bytes, expected the 64/);
  t.ok(
    (await sandbox.device({ token: `${header}.${payload}.${signature}` })).accepted,
    'forgeries do not use up the nonce',
  );

  const { id: accountWide } = (await call(sandbox, 'POST', KEYS, keyEntity(pemOf(other.publicKey)))).body.data;
  const token = mint({ dtype: 'redownload' }, { kid: accountWide }, other.privateKey);
  t.ok((await sandbox.device({ token })).accepted, 'a key for all apps');
  await call(sandbox, 'DELETE', `${KEYS}/${kid}`);
  t.strictSame(failed(await sandbox.device({ token: mint() })), ['kid'], 'a removed key');
});

t.test('lines 7, 10, 13, 14, 22, 23: another app of the account', async (t) => {
  const dataDir = t.testdir();
  const file = join(dataDir, 'sandbox.json');
  await (await openSandbox({ dataDir })).close();
  const state = JSON.parse(readFileSync(file, 'utf8'));
  state.apps.push({ ...state.apps[0], id: '6500000002', bundleId: 'com.example.other' });
  writeFileSync(file, JSON.stringify(state));
  const { sandbox, mint } = await openAccount(t, { dataDir });
  const { publicKey, privateKey } = newKey();
  const { id: kid } = await addKey(sandbox, publicKey, '6500000002');
  const token = mint({}, { kid }, privateKey);
  const verdict = await sandbox.device({ token });
  t.strictSame(failed(verdict), ['kid']);
  t.match(detailOf(verdict, 'kid'), /registered for the app 6500000002, not for 6500000001/);
  const other = mint({ iss: '6500000002', bid: 'com.example.other', iid: '6500000002', vid: '1' });
  t.strictSame(failed(await sandbox.device({ installUrl: linkOf(other), pageUrl: PAGE })), [
    'iss',
    'bid',
    'iid',
    'vid',
  ]);
});

t.test('what is accepted with a warning', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const warnings: [line: number, check: string, claims: object][] = [
    [18, 'lifetime', { exp: nowSeconds + 3601 }],
    [20, 'dtype history', { dtype: 'redownload' }],
    [24, 'iid and vid', { vid: undefined }],
    [24, 'iid and vid', { iid: undefined }],
    [25, 'ccode', { ccode: 'ie' }],
    [25, 'ccode', { ccode: 'IRL' }],
    [25, 'ccode', { ccode: 'XX' }],
    [26, 'other claims', { scope: 'x' }],
  ];
  for (const [line, check, claims] of warnings) {
    await control(sandbox, 'DELETE', 'device');
    const verdict = await sandbox.device({ token: mint(claims) });
    t.strictSame([verdict.accepted, ...warned(verdict)], [true, check], `line ${line}: ${JSON.stringify(claims)}`);
    t.match(detailOf(verdict, check), /^warning: /);
  }
  await control(sandbox, 'DELETE', 'device');
  const plain = await sandbox.device({ token: mint({ iid: undefined, vid: undefined, ccode: undefined }) });
  t.strictSame([plain.accepted, ...warned(plain)], [true], 'the optional claims may all be absent');
});

t.test('line 20: after a link and its restore, the app is known', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const link = async (dtype: string) =>
    warned(await sandbox.device({ installUrl: linkOf(mint({ dtype })), pageUrl: PAGE }));
  const restore = async (dtype: string) => warned(await sandbox.device({ token: mint({ dtype }) }));
  t.strictSame(await link('download'), []);
  t.strictSame(await restore('download'), [], 'the same install');
  t.strictSame(await restore('download'), ['dtype history']);
  t.strictSame(await link('download'), ['dtype history']);
  t.strictSame(await link('redownload'), []);
  t.strictSame(await restore('redownload'), []);
  await control(sandbox, 'DELETE', 'device');
  t.strictSame(await link('redownload'), ['dtype history'], 'a new device');
});

t.test('the nonce of a refused token is used up too, in either case, and after a restart', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const nonce = randomUUID();
  t.strictSame(failed(await sandbox.device({ token: mint({ nonce, bid: 'a.b' }) })), ['bid']);
  t.strictSame(failed(await sandbox.device({ token: mint({ nonce: nonce.toUpperCase() }) })), ['nonce']);
  const dataDir = dirname(fileURLToPath(sandbox.settings['WEBDIST_KEY'] ?? ''));
  await sandbox.close();
  const restarted = await startSandbox(t, { dataDir });
  t.strictSame(failed(await restarted.device({ token: mint({ nonce }) })), ['nonce']);
});

t.test('any input gets a verdict, which never repeats the token', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const token = mint();
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.webUrl(),
    fc.constantFrom(token, linkOf(token), PAGE, '%', ''),
  );
  await fc.assert(
    fc.asyncProperty(text, text, async (installUrl, pageUrl) => {
      const verdict = await sandbox.device({ installUrl, pageUrl });
      return verdict.accepted === verdict.checks.every(({ ok }) => ok) && !JSON.stringify(verdict).includes(token);
    }),
    { numRuns: 200 },
  );
  await fc.assert(
    fc.asyncProperty(fc.jsonValue(), fc.jsonValue(), async (header, payload) => {
      const part = (content: unknown) => Buffer.from(JSON.stringify(content)).toString('base64url');
      return !(await sandbox.device({ token: `${part(header)}.${part(payload)}.AAAA` })).accepted;
    }),
    { numRuns: 200 },
  );
  for (const claims of [
    { iss: { a: 1 }, bid: [], dtype: {}, nonce: {}, iid: {}, vid: null, ccode: 5, iat: [], exp: {} },
  ])
    t.equal((await sandbox.device({ token: mint(claims) })).accepted, false);
});

t.test('invalid request bodies', async (t) => {
  const { sandbox, mint } = await openAccount(t);
  const refused = ['', 'x', [], {}, { token: 5 }, { installUrl: linkOf(mint()) }, { token: mint(), pageUrl: PAGE }];
  for (const body of refused)
    t.match(await control(sandbox, 'POST', 'device', body), {
      status: 400,
      body: { detail: /not JSON|either installUrl and pageUrl, or token|pageUrl/ },
    });
});
