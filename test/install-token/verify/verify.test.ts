/** Every common mistake with an install verification token is found, and its likely cause is named. */

import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { SignJWT } from 'jose';
import t from 'tap';
import { claimsFor } from '../../../src/install-token/claims.ts';
import type { Known, KnownKey } from '../../../src/install-token/verify/checks.ts';
import { verifyInstallToken } from '../../../src/install-token/verify/verify.ts';
import { headerFor } from '../../../src/jws.ts';

const nowSeconds = 1_790_000_100;
const app = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
const [own, other, api] = [pair(), pair(), pair()];
const keyId = '0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11';
const known: Known = {
  keys: [
    { keyId, publicKey: own.publicKey, source: 'App Store Connect' },
    { keyId: 'second', publicKey: other.publicKey, source: 'App Store Connect' },
  ],
  apps: [app, { appleItemId: '6500000002', bundleId: 'com.example.other' }],
  apiKey: { keyId: '2X9R4HXF34', publicKey: api.publicKey },
  nowSeconds,
};

const header = headerFor(keyId);
const claims = claimsFor({
  app,
  appleVersionId: '2000000042',
  dtype: 'download',
  country: 'IE',
  issuedAtSeconds: 1_790_000_000,
  lifetimeSeconds: 1200,
  nonce: '5E0C1B5A-8C0E-4B4B-9C64-0A3B7C1F2D90',
});

type Parts = {
  header?: object;
  claims?: object;
  key?: KeyObject;
  dsaEncoding?: 'der' | 'ieee-p1363';
  base64?: 'base64';
};

function tokenOf(parts: Parts = {}): string {
  const { key = own.privateKey, dsaEncoding = 'ieee-p1363', base64 = 'base64url' } = parts;
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString(base64);
  const input = `${encode({ ...header, ...parts.header })}.${encode({ ...claims, ...parts.claims })}`;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding }).toString(base64)}`;
}

const troubles = (token: string, given: Known = known) =>
  verifyInstallToken(token, given).checks.filter(({ result }) => result === 'fail' || result === 'warn');

t.test('a correct token, ours and one made by jose', async (t) => {
  const verdict = verifyInstallToken(tokenOf(), known);
  t.equal(verdict.accepted, true);
  t.strictSame(verdict.header, header);
  t.strictSame(verdict.claims, claims);
  t.ok(verdict.checks.every(({ result }) => result === 'ok'));
  t.match(
    verdict.checks.find(({ name }) => name === 'signature'),
    { detail: /App Store Connect/ },
  );
  const byJose = await new SignJWT({ ...claims }).setProtectedHeader({ ...header }).sign(own.privateKey);
  t.equal(verifyInstallToken(byJose, known).accepted, true);
  const byFile: Known = { ...known, keys: [{ publicKey: own.publicKey, source: 'the file a.pem' }] };
  t.strictSame(troubles(tokenOf(), byFile), []);
  t.strictSame(troubles(tokenOf(), { ...known, apps: [] }), [], 'without a configured app, nothing is compared');
});

const { exp: _, ...withoutExp } = claims;
const unsigned = () => {
  const [first, second] = tokenOf().split('.');
  return `${first}.${second}.`;
};
const hs256 = () => {
  const [first, second] = tokenOf({ header: { alg: 'HS256' } }).split('.');
  return `${first}.${second}.${Buffer.alloc(32, 1).toString('base64url')}`;
};
const withoutClaim = () => {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${encode(header)}.${encode(withoutExp)}`;
  const key = own.privateKey;
  return `${input}.${sign('sha256', Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
};

const mistakes: readonly (readonly [what: string, token: () => string, name: string, says: RegExp])[] = [
  ['not a token', () => 'abc', 'shape', /cut off when copied/],
  ['the link', () => `marketplace-kit://install?a.b`, 'shape', /installVerificationToken/],
  ['a JWE', () => 'a.b.c.d.e', 'shape', /encrypted/],
  ['alg none', unsigned, 'shape', /never signed/],
  ['base64', () => tokenOf({ base64: 'base64', claims: { nonce: '~~~???>>>' } }), 'shape', /instead of base64url/],
  ['percent-encoded', () => tokenOf().replace('.', '%2E.').replace('%2E', '%41'), 'shape', /decode it once/],
  ['not JSON', () => `${tokenOf().split('.')[0]}.AAAA.AAAA`, 'shape', /encoded twice/],
  ['DER', () => tokenOf({ dsaEncoding: 'der' }), 'signature', /ieee-p1363/],
  ['the API key', () => tokenOf({ key: api.privateKey }), 'signature', /\.p8 of the API key was configured/],
  ['the API key id', () => tokenOf({ header: { kid: '2X9R4HXF34' } }), 'kid', /the API key was used/],
  ['the kid of another key', () => tokenOf({ header: { kid: 'second' } }), 'kid', new RegExp(`must be ${keyId}`)],
  ['an unknown kid', () => tokenOf({ header: { kid: 'x' }, key: pair().privateKey }), 'kid', /thumbprint/],
  ['no kid', () => tokenOf({ header: { kid: undefined } }), 'kid', new RegExp(`right id is ${keyId}`)],
  ['another private key', () => tokenOf({ key: pair().privateKey }), 'signature', /another private key/],
  [
    'a changed claim',
    () =>
      tokenOf().replace(
        /\.[^.]+\./,
        (part) =>
          `.${Buffer.from(JSON.stringify({ ...claims, dtype: 'redownload' })).toString('base64url')}${part.slice(-1)}`,
      ),
    'signature',
    /modified afterwards/,
  ],
  ['typ', () => tokenOf({ header: { typ: 'at+jwt' } }), 'typ', /at\+jwt/],
  ['extra header', () => tokenOf({ header: { jwk: {} } }), 'header', /jwk/],
  ['iss of another app', () => tokenOf({ claims: { iss: '6500000002' } }), 'iss', /another app, com\.example\.other/],
  ['iss a number', () => tokenOf({ claims: { iss: 6500000001 } }), 'iss', /write "6500000001"/],
  ['iss the issuer id', () => tokenOf({ claims: { iss: keyId } }), 'iss', /issuer id of an API key/],
  ['milliseconds', () => tokenOf({ claims: { iat: 1_790_000_000_000 } }), 'iat', /divide by 1000/],
  ['exp in milliseconds', () => tokenOf({ claims: { exp: 1_790_001_200_000 } }), 'exp', /divide by 1000/],
  ['a time as text', () => tokenOf({ claims: { iat: '1790000000' } }), 'iat', /a number, not a string/],
  ['a broken second', () => tokenOf({ claims: { iat: 1_790_000_000.5 } }), 'iat', /Math\.floor/],
  ['the future', () => tokenOf({ claims: { iat: nowSeconds + 60 } }), 'iat', /clock is ahead/],
  ['expired', () => tokenOf({ claims: { exp: nowSeconds - 1 } }), 'exp', /new token for each install/],
  ['exp before iat', () => tokenOf({ claims: { iat: nowSeconds, exp: nowSeconds } }), 'exp', /expired 0 s ago/],
  ['no exp', withoutClaim, 'exp', /WWDC/],
  ['aud of the API', () => tokenOf({ claims: { aud: 'appstoreconnect-v1' } }), 'aud', /bearer token for an Apple API/],
  ['aud a list', () => tokenOf({ claims: { aud: ['AppleDownloadVerification-v1'] } }), 'aud', /string alone/],
  ['bid in other letters', () => tokenOf({ claims: { bid: 'com.example.TrailMap' } }), 'bid', /case matters/],
  ['dtype in capitals', () => tokenOf({ claims: { dtype: 'Download' } }), 'dtype', /lower case/],
  ['nonce', () => tokenOf({ claims: { nonce: '1' } }), 'nonce', /UUID/],
  ['iid', () => tokenOf({ claims: { iid: '6500000002' } }), 'iid', /the same/],
  ['vid a number', () => tokenOf({ claims: { vid: 2000000042 } }), 'vid', /write "2000000042"/],
  ['vid alone', () => tokenOf({ claims: { iid: undefined } }), 'iid and vid', /only with both/],
  ['ccode in lower case', () => tokenOf({ claims: { ccode: 'ie' } }), 'ccode', /upper case/],
  ['ccode that is reserved', () => tokenOf({ claims: { ccode: 'UK' } }), 'ccode', /alpha-2/],
  ['ccode for users', () => tokenOf({ claims: { ccode: 'XK' } }), 'ccode', /alpha-2/],
  ['ccode of a withdrawn country', () => tokenOf({ claims: { ccode: 'SU' } }), 'ccode', /alpha-2/],
  ['ccode of three', () => tokenOf({ claims: { ccode: 'IRL' } }), 'ccode', /alpha-2/],
  ['a claim of its own', () => tokenOf({ claims: { sub: 'x' } }), 'other claims', /leave them out/],
  ['a long life', () => tokenOf({ claims: { exp: 1_790_100_000 } }), 'lifetime', /more than 3600 s/],
];

const warnings = ['iid and vid', 'ccode', 'other claims', 'lifetime'];
for (const [what, token, name, says] of mistakes)
  t.test(what, async (t) => {
    const found = troubles(token());
    t.strictSame(
      found.map((check) => check.name),
      [name],
    );
    t.match(`${found[0]?.detail} ${found[0]?.cause}`, says);
    t.equal(verifyInstallToken(token(), known).accepted, warnings.includes(name));
  });

t.test('the key of another app, and the version of another package', async (t) => {
  const keysFor = (apps: KnownKey['apps']): Known => ({
    ...known,
    keys: [{ keyId, publicKey: own.publicKey, source: 'App Store Connect', apps }],
  });
  const withVersions = (...appleVersionIds: string[]): Known => ({ ...known, apps: [{ ...app, appleVersionIds }] });
  for (const [what, given, names] of [
    ['for all apps', keysFor('all'), []],
    ['for the app', keysFor(['6500000001']), []],
    ['for two apps', keysFor(['6500000009', '6500000001']), []],
    ['for another app', keysFor(['6500000002']), ['kid']],
    ['for an app that is not configured', keysFor([]), ['kid']],
    ['not known', keysFor(undefined), []],
    ['the version in the manifest', withVersions('2000000042'), []],
    ['one of several', withVersions('2000000041', '2000000042'), []],
    ['an older version', withVersions('2000000057'), ['vid']],
    ['no version', withVersions(), ['vid']],
    [
      'another app’s link',
      { ...known, linked: { appleItemId: '6500000002', bundleId: 'com.example.other' } },
      ['iss', 'bid', 'iid'],
    ],
    ['no such app', { ...known, apps: [{ appleItemId: '1', bundleId: 'a.b' }] }, ['app']],
  ] as const)
    t.strictSame(
      troubles(tokenOf(), given).map(({ name }) => name),
      names,
      what,
    );
});

t.test('HS256 is two mistakes', async (t) => {
  t.strictSame(
    troubles(hs256()).map(({ name }) => name),
    ['alg', 'signature'],
  );
  t.match(troubles(hs256())[1]?.cause, /HMAC/);
});

t.test('without a public key, no token is accepted', async (t) => {
  t.strictSame(
    troubles(tokenOf(), { ...known, keys: [] }).map(({ name }) => name),
    ['signature'],
  );
});

t.test('the verdict contains no private key', async (t) => {
  const pem = own.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
  t.ok(createPrivateKey(pem));
  t.notMatch(JSON.stringify(verifyInstallToken(tokenOf(), known)), pem.split('\n')[1] ?? 'x');
});
