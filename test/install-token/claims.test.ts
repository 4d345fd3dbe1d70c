import t from 'tap';
import { claimsFor } from '../../src/install-token/claims.ts';
import { installUrl } from '../../src/install-token/install-url.ts';
import { signingKey } from '../../src/jws.ts';

const input = {
  app: { appleItemId: '6500000001', bundleId: 'com.example.trailmap' },
  appleVersionId: '2000000042',
  dtype: 'download',
  country: 'IE',
  issuedAtSeconds: 1790000000,
  lifetimeSeconds: 1200,
  nonce: '5E0C1B5A-8C0E-4B4B-9C64-0A3B7C1F2D90',
} as const;

t.test('a token with all claims equals that of docs/apple-facts.md §1.4', async (t) => {
  t.equal(
    Buffer.from(signingKey({}, '0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11').encodedHeader, 'base64url').toString(),
    '{"alg":"ES256","kid":"0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11","typ":"JWT"}',
  );
  t.equal(
    JSON.stringify(claimsFor(input)),
    '{"iss":"6500000001","iat":1790000000,"exp":1790001200,"aud":"AppleDownloadVerification-v1",' +
      '"bid":"com.example.trailmap","dtype":"download","nonce":"5E0C1B5A-8C0E-4B4B-9C64-0A3B7C1F2D90",' +
      '"iid":"6500000001","vid":"2000000042","ccode":"IE"}',
  );
});

t.test('unknown claims are omitted; iid and vid only together', async (t) => {
  t.strictSame(claimsFor({ ...input, dtype: 'redownload', appleVersionId: undefined, country: undefined }), {
    iss: '6500000001',
    iat: 1790000000,
    exp: 1790001200,
    aud: 'AppleDownloadVerification-v1',
    bid: 'com.example.trailmap',
    dtype: 'redownload',
    nonce: '5E0C1B5A-8C0E-4B4B-9C64-0A3B7C1F2D90',
  });
});

t.test('ids that exceed a JavaScript number stay exact', async (t) => {
  const app = { appleItemId: '18446744073709551615', bundleId: 'com.example.big' };
  const claims = claimsFor({ ...input, app, appleVersionId: '9007199254740993' });
  t.match(claims, { iss: '18446744073709551615', iid: '18446744073709551615', vid: '9007199254740993' });
});

t.test('the install URL has Apple’s parameters in Apple’s order, percent-encoded', async (t) => {
  t.equal(
    installUrl({ packageUrl: 'https://example.com/adp/a b?x=1&y=2', installToken: 'aa.bb-_.cc' }),
    'marketplace-kit://install?alternativeDistributionPackage=https%3A%2F%2Fexample.com%2Fadp%2Fa%20b%3Fx%3D1%26y%3D2' +
      '&installVerificationToken=aa.bb-_.cc',
  );
  const all = installUrl({
    packageUrl: 'https://example.com/adp',
    installToken: 'aa.bb.cc',
    subjectToken: 't+/=',
    account: 'jo e+&=#%',
    appShareUrl: 'https://example.com/ö',
  });
  t.equal(
    all,
    'marketplace-kit://install?alternativeDistributionPackage=https%3A%2F%2Fexample.com%2Fadp' +
      '&installVerificationToken=aa.bb.cc&token=t%2B%2F%3D&account=jo%20e%2B%26%3D%23%25' +
      '&appShareURL=https%3A%2F%2Fexample.com%2F%C3%B6',
  );
  t.equal(new URL(all).searchParams.get('account'), 'jo e+&=#%', 'reads back');
});
