import { decodeProtectedHeader, jwtVerify } from 'jose';
import t from 'tap';
import {
  type ApiTokenRequest,
  apiTokenClaims,
  apiTokenSource,
  buildApiToken,
} from '../../src/app-store-connect/api-token.ts';
import { WebdistError } from '../../src/errors.ts';
import { newSigner } from '../harness/stand-ins/app-store-connect.ts';

const issuerId = '57246542-96fe-1a63-e053-0824d011072a';
const bundleId = 'com.example.trailmap';
const at = 1790000000;
// Every kind is given every member, and uses only its own.
const request = (kind: ApiTokenRequest['kind'], lifetimeSeconds: number): ApiTokenRequest => ({
  kind,
  issuerId,
  bundleId,
  issuedAtSeconds: at,
  lifetimeSeconds,
});

t.test('claims of each kind', async (t) => {
  const aud = 'appstoreconnect-v1';
  t.strictSame(apiTokenClaims(request('team', 1200)), { iss: issuerId, iat: at, exp: at + 1200, aud });
  t.strictSame(apiTokenClaims(request('individual', 600)), { sub: 'user', iat: at, exp: at + 600, aud });
  t.strictSame(apiTokenClaims(request('in-app-purchase', 3600)), {
    iss: issuerId,
    iat: at,
    exp: at + 3600,
    aud,
    bid: bundleId,
  });
});

t.test('input that Apple would refuse is refused', async (t) => {
  const refused: ApiTokenRequest[] = [
    request('team', 1201),
    request('individual', 1201),
    request('in-app-purchase', 3601),
    request('team', 0),
    request('team', 60.5),
    request('team', Number.NaN),
    { ...request('team', 60), issuedAtSeconds: at + 0.5 },
    { ...request('team', 60), issuerId: undefined },
    { ...request('in-app-purchase', 60), issuerId: '' },
    { ...request('in-app-purchase', 60), bundleId: undefined },
  ];
  for (const one of refused)
    t.throws(() => apiTokenClaims(one), { code: 'usage_invalid' }, `${one.kind} ${one.lifetimeSeconds}`);
  await t.rejects(buildApiToken(newSigner(), '', request('team', 60)), { code: 'usage_invalid' }, 'no key id');
});

t.test('signed as ES256 with the header that Apple requires', async (t) => {
  const signer = newSigner();
  const apiToken = await buildApiToken(signer, '2X9R4HXF34', request('individual', 60));
  t.strictSame(decodeProtectedHeader(apiToken), { alg: 'ES256', kid: '2X9R4HXF34', typ: 'JWT' });
  const { payload } = await jwtVerify(apiToken, signer.publicKey, { currentDate: new Date((at + 1) * 1000) });
  t.strictSame(payload, apiTokenClaims(request('individual', 60)));
});

const sourceOf = (issuer: string | undefined = issuerId) => {
  const clock = { seconds: at };
  const signer = newSigner();
  const source = apiTokenSource({ signer, keyId: 'K', issuerId: issuer, nowSeconds: () => clock.seconds });
  return { clock, signer, source };
};
const claimsOf = (apiToken: string) => JSON.parse(Buffer.from(apiToken.split('.')[1] ?? '', 'base64url').toString());

t.test('a source signs once for many callers, and again before the JWT expires', async (t) => {
  const { clock, signer, source } = sourceOf();
  const [first, ...others] = await Promise.all(Array.from({ length: 10 }, () => source.read()));
  t.ok(others.every((one) => one === first));
  t.equal(signer.signed, 1);
  t.match(claimsOf(first ?? ''), { iss: issuerId, iat: at - 30, exp: at + 570 });

  clock.seconds = at + 509;
  t.equal(await source.read(), first, 'kept while it is valid for more than a minute');
  clock.seconds = at + 510;
  t.match(claimsOf(await source.read()), { iat: at + 480 });
  t.equal(signer.signed, 2);
});

t.test('an individual key has no issuer', async (t) => {
  const { source } = sourceOf('');
  t.strictSame(Object.keys(claimsOf(await source.read())), ['sub', 'iat', 'exp', 'aud']);
});

t.test('a discarded JWT is replaced by one new signature for all callers', async (t) => {
  const { signer, source } = sourceOf();
  const first = await source.read();
  source.discard(first);
  const second = await source.read();
  t.not(second, first);
  source.discard(first);
  t.equal(await source.read(), second, 'discarding the old one late changes nothing');
  t.equal(signer.signed, 2);
});

t.test('a JWT that a clock set back dates into the future is replaced', async (t) => {
  const { clock, source } = sourceOf();
  await source.read();
  clock.seconds = at - 300;
  t.match(claimsOf(await source.read()), { iat: at - 330 });
});

t.test('after a failure, the signer is called again', async (t) => {
  const { signer, source } = sourceOf();
  const { sign } = signer;
  signer.sign = () => {
    throw new WebdistError('signer_unavailable', 'Down.');
  };
  await t.rejects(source.read(), { code: 'signer_unavailable' });
  signer.sign = sign;
  t.ok(await source.read());
});
