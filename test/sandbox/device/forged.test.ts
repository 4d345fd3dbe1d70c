/**
 * Forged tokens, at least three for each line of the rejection checklist that concerns a token (docs/apple-facts.md §10,
 * lines 7 to 26): the simulated device and `webdist token verify`, with the facts that it collects itself, find the same.
 */

import { createHmac, createPrivateKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import t from 'tap';
import { knownForToken } from '../../../src/cli/token/known-keys.ts';
import { verifyInstallToken } from '../../../src/install-token/verify/verify.ts';
import type { Sandbox } from '../../../src/sandbox/sandbox.ts';
import { APP, addKey, call, control, DOMAINS, domainEntity, jws, newKey } from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const nowSeconds = Math.floor(Date.now() / 1000);
const encode = (content: unknown) => Buffer.from(JSON.stringify(content)).toString('base64url');

/** An account with two apps, each with its key, and the environment of a service for both. */
async function openAccount() {
  const sandbox = await startSandbox(t);
  const { body: other } = await control(sandbox, 'POST', 'apps', { bundleId: 'com.example.camping' });
  const { body: foreign } = await control(sandbox, 'POST', 'apps', { bundleId: 'org.example.chess', team: 'second' });
  const [own, others, foreigners] = [newKey(), newKey(), newKey()];
  const { id: kid } = await addKey(sandbox, own.publicKey);
  const { id: otherKid } = await addKey(sandbox, others.publicKey, other.appleItemId);
  await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'));
  const { id: foreignKid } = await addKey(
    { ...sandbox, settings: foreign.settings },
    foreigners.publicKey,
    foreign.appleItemId,
  );
  return {
    sandbox,
    kid,
    otherKid,
    foreignKid,
    foreigners: foreigners.privateKey,
    own: own.privateKey,
    others: others.privateKey,
    other: other.appleItemId,
    foreign,
  };
}

const account = await openAccount();
const { sandbox, kid, otherKid, foreignKid, foreigners, own, others, other, foreign } = account;
const claims = (changes: object = {}) => ({
  iss: APP,
  iat: nowSeconds - 5,
  exp: nowSeconds + 1195,
  aud: 'AppleDownloadVerification-v1',
  bid: 'com.example.trailmap',
  dtype: 'download',
  nonce: randomUUID().toUpperCase(),
  iid: APP,
  vid: '2000000042',
  ...changes,
});
const token = (changes: object = {}, header: object = {}, key: KeyObject = own) =>
  jws({ alg: 'ES256', kid, typ: 'JWT', ...header }, claims(changes), key);
const forged = (alg: string, signature: (input: string) => Buffer) => {
  const input = `${encode({ alg, kid, typ: 'JWT' })}.${encode(claims())}`;
  return `${input}.${signature(input).toString('base64url')}`;
};
/** A signed token of JSON texts, which need not be what `JSON.stringify` writes. */
const written = (changeHeader: (json: string) => string, changeClaims: (json: string) => string) => {
  const [header, payload] = [
    changeHeader(JSON.stringify({ alg: 'ES256', kid, typ: 'JWT' })),
    changeClaims(JSON.stringify(claims())),
  ];
  const input = [header, payload].map((json) => Buffer.from(json).toString('base64url')).join('.');
  return `${input}.${sign('sha256', Buffer.from(input), { key: own, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
};
const same = (json: string) => json;
/** The same bytes of the signature, with other bits in the unused part of the last character. */
const respelt = (token: string) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.at(-1) ?? '') + 1];
};
const parts = () => token().split('.') as [string, string, string];
const apiKey = () => createPrivateKey(Buffer.from(sandbox.settings['ASC_PRIVATE_KEY_B64'] ?? '', 'base64').toString());

const table: Readonly<Record<number, readonly string[]>> = {
  7: [
    token({ iss: '1', bid: 'a.b', iid: '1', vid: '1' }),
    token({ iss: foreign.appleItemId, bid: 'org.example.nothing', iid: undefined, vid: undefined }),
    token({ iss: undefined, bid: undefined }),
  ],
  8: [
    '',
    parts().slice(0, 2).join('.'),
    `${token()}=`,
    `${encode([])}.${parts()[1]}.${parts()[2]}`,
    `${token()}.x`,
    `${parts()[0]}..AA`,
    respelt(token()),
    `${token()}\n`,
    written((json) => `\ufeff${json}`, same),
    written(same, (json) => `\ufeff${json}`),
    written(same, (json) => `${json}x`),
    written(same, (json) => json.replace('{', '{"dtype":"redownload",')),
    written(same, (json) => json.replace('{', '{"d\\u0074ype" : "redownload",')),
    written((json) => json.replace('{', '{"kid":"0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11",'), same),
    written((json) => json.replace('}', ',"alg":"none"}'), same),
  ],
  9: [
    token({}, { alg: 'ES384' }),
    token({}, { alg: 'none' }),
    forged('HS256', (input) => createHmac('sha256', 'secret').update(input).digest()),
    token({}, { typ: 'jwt' }),
    token({}, { typ: undefined }),
    token({}, { jwk: {} }),
    token({}, { x5c: [] }),
    token({}, { crit: ['exp'] }),
    token({}, { cty: 'JWT' }),
    token({}, { b64: false, crit: ['b64'] }),
    token({}, { alg: 'es256' }),
    token({}, { alg: ['ES256'] }),
    token({}, { alg: 'ES256 ' }),
    token({}, { typ: 'JOSE' }),
    token({}, { x5u: 'https://example.com/key.cer' }),
  ],
  10: [
    token({}, { kid: otherKid }, others),
    token({}, { kid: randomUUID() }),
    token({}, { kid: undefined }),
    token({}, { kid: 5 }),
    token({}, { kid: kid.toUpperCase() }),
    token({}, { kid: sandbox.settings['ASC_KEY_ID'] }, apiKey()),
    token({}, { kid: `${kid} ` }),
    token({}, { kid: '' }),
  ],
  11: [
    token({}, {}, newKey().privateKey),
    token({}, {}, others),
    forged('ES256', (input) => sign('sha256', Buffer.from(input), own)),
    forged('ES256', (input) => sign('sha512', Buffer.from(input), { key: own, dsaEncoding: 'ieee-p1363' })),
    `${parts()[0]}.${encode(claims({ nonce: randomUUID() }))}.${parts()[2]}`,
    forged('ES256', () => Buffer.alloc(64)),
  ],
  12: [
    token({ aud: 'appstoreconnect-v1' }),
    token({ aud: ['AppleDownloadVerification-v1'] }),
    token({ aud: undefined }),
    token({ aud: 'AppleDownloadVerification-v2' }),
    token({ aud: 'appledownloadverification-v1' }),
    token({ aud: 'AppleDownloadVerification-v1 ' }),
    token({ aud: '' }),
  ],
  13: [
    token({ iss: ` ${APP}` }),
    token({ iss: `${APP}.0` }),
    token({ iss: [APP] }),
    token({ iss: '18446744073709551616' }),
    token({ iss: Number(APP) }),
    token({ iss: other }),
    token({ iss: `0${APP}` }),
    token({ iss: randomUUID() }),
  ],
  14: [
    token({ bid: 'com.example.Trailmap' }),
    token({ bid: '' }),
    token({ bid: 5 }),
    token({ bid: 'com.example.camping' }),
  ],
  15: [
    token({ iat: nowSeconds * 1000 }),
    token({ exp: (nowSeconds + 600) * 1000 }),
    token({ iat: String(nowSeconds) }),
    token({ exp: nowSeconds + 0.5 }),
    token({ iat: undefined }),
    token({ iat: -1 }),
    token({ iat: true }),
    written(same, (json) => json.replace(/"exp":\d+/, '"exp":1e999')),
  ],
  16: [
    token({ iat: nowSeconds + 120 }),
    token({ iat: nowSeconds - 1300, exp: nowSeconds - 1 }),
    token({ exp: nowSeconds - 5 }),
    token({ iat: nowSeconds + 4, exp: nowSeconds + 4 }),
    token({ iat: nowSeconds - 5, exp: nowSeconds - 6 }),
    token({ iat: 0, exp: 1 }),
  ],
  17: [token({ exp: undefined }), token({ exp: null }), token({ exp: 'never' })],
  18: [token({ exp: nowSeconds + 3600 }), token({ exp: nowSeconds + 86_400 }), token({ iat: nowSeconds - 4000 })],
  19: [
    token({ dtype: 'Download' }),
    token({ dtype: undefined }),
    token({ dtype: 'update' }),
    token({ dtype: ['download'] }),
    token({ dtype: 'download ' }),
    token({ dtype: 're-download' }),
  ],
  21: [
    token({ nonce: 'x' }),
    token({ nonce: undefined }),
    token({ nonce: randomUUID().replaceAll('-', '') }),
    token({ nonce: 7 }),
    token({ nonce: `{${randomUUID()}}` }),
    token({ nonce: `urn:uuid:${randomUUID()}` }),
  ],
  22: [token({ iid: other }), token({ iid: Number(APP) }), token({ iid: '' }), token({ iid: null })],
  23: [
    token({ vid: '2000000031' }),
    token({ vid: 2000000042 }),
    token({ vid: '2001000042' }),
    token({ vid: '02000000042' }),
  ],
  24: [token({ iid: undefined }), token({ vid: undefined }), token({ iid: undefined, vid: '2000000031' })],
  25: [
    token({ ccode: 'ie' }),
    token({ ccode: 'UK' }),
    token({ ccode: 'XX' }),
    token({ ccode: 'IRL' }),
    token({ ccode: 5 }),
    token({ ccode: 'EU' }),
    token({ ccode: ' IE' }),
    token({ ccode: '' }),
  ],
  26: [
    written(same, (json) => json.replace('{', '{"__proto__":{"iss":"1"},')),
    token({ sub: 'x' }),
    token({ scope: [] }),
    token({ jti: randomUUID(), nbf: 1 }),
  ],
};

/** What `webdist token verify` collects in the environment of a service for both apps. */
async function knownToCommand({ settings }: Sandbox) {
  const config = {
    domain: 'example.com',
    apps: [
      { appleItemId: APP, bundleId: 'com.example.trailmap', packageManifest: settings['WEBDIST_PACKAGE_MANIFEST'] },
      {
        appleItemId: other,
        bundleId: 'com.example.camping',
        packageManifest: settings['WEBDIST_PACKAGE_MANIFEST']?.replace(APP, other),
      },
    ].map((app) => ({ ...app, key: settings['WEBDIST_KEY'] })),
  };
  const folder = t.testdir({ 'apps.json': JSON.stringify(config) });
  const asc = Object.entries(settings).filter(([name]) => name.startsWith('ASC_'));
  Object.assign(process.env, Object.fromEntries(asc), {
    WEBDIST_CONFIG: `${folder}/apps.json`,
    WEBDIST_DATA_DIR: folder,
  });
  return knownForToken({});
}

const { notes, ...known } = await knownToCommand(sandbox);
t.strictSame(notes, []);

t.test('forged tokens', async (t) => {
  for (const [line, tokens] of Object.entries(table)) {
    t.ok(tokens.length >= 3, `line ${line}: at least three`);
    for (const [number, forgedToken] of tokens.entries()) {
      await control(sandbox, 'DELETE', 'device');
      const { checks } = verifyInstallToken(forgedToken, { ...known, nowSeconds: Date.now() / 1000 });
      const bad = checks.filter(({ result }) => result !== 'ok').map(({ name, result }) => `${result} ${name}`);
      const device = await sandbox.device({ token: forgedToken });
      const found = device.checks
        .filter(({ ok, warning }) => !ok || warning)
        .map(({ name, ok }) => `${ok ? 'warn' : 'fail'} ${name}`);
      t.strictSame(bad, found, `line ${line}, token ${number + 1}`);
      t.ok(bad.length > 0, `line ${line}, token ${number + 1}: ${bad.join(', ')}`);
    }
  }
});

// The device finds the account by `kid`, the command knows only its own: they give different reasons.
t.test('keys and apps of another account', async (t) => {
  for (const mixed of [
    token({}, { kid: foreignKid }),
    token({}, { kid: foreignKid }, foreigners),
    token({ iss: foreign.appleItemId, bid: 'org.example.chess', iid: undefined, vid: undefined }),
    token({ iss: foreign.appleItemId, bid: 'org.example.chess', iid: foreign.appleItemId }, {}, foreigners),
  ]) {
    t.notOk((await sandbox.device({ token: mixed })).accepted, 'the device');
    t.notOk(verifyInstallToken(mixed, { ...known, nowSeconds }).accepted, 'token verify');
  }
});

t.test('a correct token', async (t) => {
  const correct = token();
  t.ok((await sandbox.device({ token: correct })).accepted);
  t.ok(verifyInstallToken(correct, { ...known, nowSeconds }).checks.every(({ result }) => result === 'ok'));
});
