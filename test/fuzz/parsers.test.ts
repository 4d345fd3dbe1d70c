/**
 * Whatever is put into a parser, it answers or throws the one error class, and says nothing of what could be a secret.
 * `FUZZ_RUNS=100000 tap test/fuzz/*.test.ts` runs more.
 */

import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import t from 'tap';
import { readConfig } from '../../src/config.ts';
import { settings } from '../../src/config-settings.ts';
import { WebdistError } from '../../src/errors.ts';
import { verifyInstallToken } from '../../src/install-token/verify.ts';
import { publicKeyPem, readPublicKey } from '../../src/jws.ts';
import { readSummary } from '../../src/packages/manifest.ts';
import { openSecret } from '../../src/secrets/secrets.ts';
import { derToRaw } from '../../src/signer/der.ts';
import { readPrivateKey } from '../../src/signer/pem.ts';
import { parsePkcs11Uri } from '../../src/signer/pkcs11-uri.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 500);
const SECRET = 'c2VjcmV0LXRoYXQtbXVzdC1ub3QtbGVhaw';

/** Runs; what is thrown must be a WebdistError whose message does not hold the secret. */
async function holds(work: () => unknown): Promise<boolean> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof WebdistError)) throw error;
    if (error.message.includes(SECRET)) throw new Error('the message holds the secret');
  }
  return true;
}

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const app = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();

/** A text with a piece of it replaced by another. */
const damaged = (text: string) =>
  fc
    .tuple(
      fc.nat(text.length),
      fc.nat(40),
      fc.oneof(fc.string(), fc.constant(SECRET), fc.constant('\r\n'), fc.constant('')),
    )
    .map(([at, length, piece]) => text.slice(0, at) + piece + text.slice(at + length));

const anyText = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.base64String(), fc.constant(SECRET));

const jwt = (header: unknown, payload: unknown, signature: string) =>
  [header, payload]
    .map((part) => Buffer.from(JSON.stringify(part) ?? '').toString('base64url'))
    .concat(signature)
    .join('.');
const anyJwt = fc.oneof(
  anyText,
  fc
    .tuple(fc.jsonValue(), fc.jsonValue(), fc.base64String())
    .map(([header, payload, rest]) => jwt(header, payload, rest)),
  fc
    .record({ iss: fc.anything(), iat: fc.anything(), exp: fc.anything(), aud: fc.anything(), nonce: fc.jsonValue() })
    .map((payload) => {
      const safe = JSON.parse(JSON.stringify(payload, (_, value) => (typeof value === 'bigint' ? 0 : value)) ?? '{}');
      return jwt({ alg: 'ES256', kid: 'x', typ: 'JWT' }, safe, 'AA');
    }),
);

const schemes = [
  'env://',
  'file:///',
  'vault+kv://',
  'awssecrets://',
  'gcpsecrets://',
  'azuresecrets://',
  'pkcs11:',
  '',
];

const cases: Record<string, fc.IAsyncProperty<[string]>> = {
  'private keys': fc.asyncProperty(fc.oneof(anyText, damaged(pem)), (text) => holds(() => readPrivateKey(text))),
  'public keys': fc.asyncProperty(fc.oneof(anyText, damaged(publicKeyPem(publicKey))), (text) =>
    holds(() => readPublicKey(text)),
  ),
  'DER signatures': fc.asyncProperty(fc.base64String(), (text) =>
    holds(() => derToRaw(Buffer.from(text, 'base64'), 'The key')),
  ),
  'install tokens': fc.asyncProperty(anyJwt, (text) =>
    holds(() =>
      verifyInstallToken(text, { keys: [{ publicKey, source: 'here' }], apps: [app], nowSeconds: 1_795_000_000 }),
    ),
  ),
  locators: fc.asyncProperty(
    fc.tuple(fc.constantFrom(...schemes), fc.string()).map((parts) => parts.join('')),
    (text) => holds(async () => (await openSecret(text, {})).close()),
  ),
  'PKCS#11 addresses': fc.asyncProperty(
    fc.oneof(anyText, damaged('pkcs11:token=t;object=o;id=%01?module-path=/lib/x.so&pin-value=1234')),
    (text) => holds(() => parsePkcs11Uri(text)),
  ),
  // Whoever reads a manifest takes any of these as "not usable"; a TypeError would be a mistake of ours.
  manifests: fc.asyncProperty(fc.oneof(anyText, fc.json()), (text) => {
    try {
      readSummary(text, app);
    } catch (error) {
      if (!(error instanceof Error) || !['SyntaxError', 'ZodError', '$ZodError', 'Error'].includes(error.name))
        throw error;
    }
    return Promise.resolve(true);
  }),
};

for (const [name, property] of Object.entries(cases))
  t.test(name, async (t) => {
    await fc.assert(property, { numRuns });
    t.pass(`${numRuns} inputs`);
  });

t.test('settings', async (t) => {
  // A path could name a file of this machine; those are read by other tests.
  const names = Object.keys(settings).filter((name) => name !== 'WEBDIST_CONFIG');
  const environment = fc.dictionary(fc.constantFrom(...names), fc.oneof(anyText, fc.webUrl(), fc.nat().map(String)));
  await fc.assert(
    fc.asyncProperty(environment, (env) => holds(() => readConfig({ ...env, ASC_PRIVATE_KEY_B64: SECRET }))),
    { numRuns },
  );
  t.pass(`${numRuns} inputs`);
});
