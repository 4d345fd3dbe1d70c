/**
 * Every parser of foreign input, as a function of bytes, with valid inputs to start from. Used by the fuzz tests and by
 * the coverage-guided fuzzer, which apply the same rules: `check` in rules.ts.
 */

import { createHash, generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { exportJWK, SignJWT } from 'jose';
import { openJsonApi } from '../../src/app-store-connect/json-api.ts';
import { readApp, readDomain } from '../../src/app-store-connect/resources.ts';
import { openChain } from '../../src/audit/chain.ts';
import { openVerification, readLines } from '../../src/audit/verify.ts';
import { readConfigFile } from '../../src/config/apps-file.ts';
import { readConfig } from '../../src/config/config.ts';
import type { Problem } from '../../src/config/problems.ts';
import { settings } from '../../src/config/settings.ts';
import { WebdistError } from '../../src/errors.ts';
import { openSignIn } from '../../src/http/sign-in.ts';
import { claimsFor } from '../../src/install-token/claims.ts';
import { installUrl } from '../../src/install-token/install-url.ts';
import { verifyInstallToken } from '../../src/install-token/verify/verify.ts';
import { headerFor, publicKeyPem, readPublicKey } from '../../src/jws.ts';
import { openSecret } from '../../src/locators.ts';
import { openSeals } from '../../src/oauth/sealed.ts';
import { readArchive } from '../../src/packages/archive.ts';
import { readSummary } from '../../src/packages/manifest.ts';
import { newAccount } from '../../src/sandbox/account.ts';
import { judge } from '../../src/sandbox/device/judge.ts';
import { openStore } from '../../src/sandbox/state.ts';
import { derToRaw } from '../../src/signer/der.ts';
import { readPrivateKey } from '../../src/signer/pem.ts';
import { parsePkcs11Uri } from '../../src/signer/pkcs11-uri.ts';

/** A secret that inputs contain and no message may contain. */
export const SECRET = 'c2VjcmV0LXRoYXQtbXVzdC1ub3QtbGVhaw';

export type Target = {
  readonly run: (input: Buffer) => unknown;
  /** The first is accepted. */
  readonly seeds: readonly (string | Uint8Array)[];
  /** Names of errors that it may throw besides WebdistError; its callers treat any of these as "not usable". */
  readonly throws?: readonly string[];
};

const NOW_SECONDS = 1_795_000_000;
const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const app = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
const keyId = '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11';
const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
const sec1 = privateKey.export({ format: 'pem', type: 'sec1' }).toString();
/** All secrets in the inputs, for the rule that no message repeats them. */
export const secrets = [SECRET, pem.replace(/\s/g, ''), sec1.replace(/\s/g, '')];

const folder = mkdtempSync(join(tmpdir(), 'webdist-fuzz-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const fileWith = (input: Buffer): string => {
  const path = join(folder, 'input');
  writeFileSync(path, input);
  return path;
};
const armoured = (label: string, der: Buffer) =>
  `-----BEGIN ${label}-----\n${der.toString('base64')}\n-----END ${label}-----\n`;
const text = (parse: (text: string) => unknown) => (input: Buffer) => parse(input.toString());

const issued = { dtype: 'download', issuedAtSeconds: NOW_SECONDS, lifetimeSeconds: 1200 } as const;
const claims = claimsFor({ app, ...issued, nonce: 'DD03CFE2-597C-4D1B-8770-DA880BDC8AC9' });
const installToken = await new SignJWT(claims).setProtectedHeader(headerFor(keyId)).sign(privateKey);

const seals = openSeals(createHash('sha256').update(SECRET).digest(), () => NOW_SECONDS * 1000);
const subject = { kind: 'caller', id: 'customer' } as const;
const accessToken = await seals.seal('access', { subject }, 3600);

/** A sign-in's JWKS on loopback, and a JWT that its key signed. */
async function openJwks() {
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'one', alg: 'ES256' }] });
  const server = createServer((_request, response) => response.end(jwks)).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  server.unref();
  const { port } = server.address() as AddressInfo;
  return openSignIn({
    jwksUrl: `http://127.0.0.1:${port}/`,
    issuer: 'https://login.example.com/',
    audience: 'shop',
    audienceClaim: 'aud',
  });
}
const signIn = await openJwks();
const customerJwt = await new SignJWT({ sub: 'customer', iss: 'https://login.example.com/', aud: 'shop' })
  .setProtectedHeader({ alg: 'ES256', kid: 'one' })
  .setExpirationTime('10y')
  .sign(privateKey);

const store = openStore(folder, newAccount);
const [linked] = store.state.packages;
const link = installUrl({
  packageUrl: linked?.url ?? '',
  installToken,
  account: 'a b',
  appShareUrl: 'https://example.com/',
});

const manifest = JSON.stringify({
  ...app,
  appleVersionId: '2000000042',
  shortVersionString: '1.3.0',
  platforms: ['iOS'],
  minimumSystemVersions: { iOS: '18.0' },
  variants: [
    {
      publicId: 'A1',
      assetPath: 'variant/A1.ipa',
      variantDetails: {
        compressedSize: 3,
        hashes: [{ algorithm: 'sha256', chunkSize: 1, encryptedChunkDigests: ['00'] }],
      },
    },
  ],
});

const auditLine = openChain('c')({
  at: '2026-11-21T10:00:00.000Z',
  event: 'install_token_issued',
  nonce: claims.nonce,
  keyId,
  app: app.bundleId,
  dtype: 'download',
  dtypeSource: 'none',
  subject: undefined,
  caller: 'page',
}).text;

const appDocument = { id: app.appleItemId, type: 'apps', attributes: { bundleId: app.bundleId, name: 'Trail Map' } };
const domainDocument = { id: '1', type: 'alternativeDistributionDomains', attributes: { domain: 'example.com' } };

/** Answers every request for a list with one page; the link to the next leads to an empty one. */
async function readAnswer(input: Buffer): Promise<void> {
  const document: unknown = JSON.parse(input.toString());
  let asked = 0;
  const send = async () => (asked++ === 0 ? document : { data: [] });
  const api = openJsonApi({ baseUrl: 'https://api.example.com', send, deadline: () => AbortSignal.timeout(1000) });
  await api.list(readApp, 'apps', {});
  await api.list(readDomain, 'alternativeDistributionDomains', {});
}

/** Problems without the names in them: messages repeat names, but never values. */
const withoutNames = (problems: readonly Problem[]) =>
  problems.map(({ message }) => message.replace(/^.*?: /s, '').replace(/^Unrecognized key.*/s, '')).join('\n');

/** `NAME=value` lines. A path could name a file of this machine; other tests read files. */
function readSettings(lines: string): void {
  const env: Record<string, string> = { ASC_PRIVATE_KEY_B64: SECRET };
  for (const line of lines.split('\n')) {
    const [name = '', ...value] = line.split('=');
    if (Object.hasOwn(settings, name) && name !== 'WEBDIST_CONFIG') env[name] = value.join('=');
  }
  readConfig(env);
}

const settingLines = [
  'WEBDIST_DOMAIN=example.com',
  'WEBDIST_APPLE_ITEM_ID=6500000001',
  'WEBDIST_BUNDLE_ID=com.example.trailmap',
  'WEBDIST_KEY=env://KEY awskms:///alias/a gcpkms://projects/p azurekms://v.vault.azure.net/k hashivault://k pkcs11:object=o',
  'ASC_KEY_ID=2X9R4HXF34',
  'ASC_ISSUER_ID=57246542-96fe-1a63-e053-0824d011072a',
  `WEBDIST_API_KEYS=shop:${'0'.repeat(64)}`,
  'WEBDIST_TRUST_PROXY=10.0.0.0/8,::1',
  `WEBDIST_LEDGER=postgres://user:${SECRET}@localhost/webdist`,
  `WEBDIST_LEDGER_SECRET=${SECRET}`,
  'WEBDIST_REDIS_URL=redis://localhost',
  'WEBDIST_PACKAGE_URL=https://example.com/adp/camping',
  'WEBDIST_ALLOWED_ORIGINS=https://shop.example.com',
  'WEBDIST_TOKEN_LIFETIME=1200',
];

const configYaml = `domain: example.com
apps:
  - bundleId: com.example.camping
    appleItemId: 6473805491
    key: file:///run/secrets/camping.pem pkcs11:object=o?pin-value=${SECRET}
    packageUrl: https://example.com/adp/camping
    versions: { "2000000042": { percent: 10 } }
    marketplaceKit: { license: { dynamicLicenseURL: https://example.com/l } }
`;

/** Their callers catch the errors of zod and JSON. */
const unreadable = ['SyntaxError', 'ZodError', '$ZodError', 'Error'];

export const targets: Readonly<Record<string, Target>> = {
  'private-keys': {
    run: text(readPrivateKey),
    seeds: [pem, sec1, Buffer.from(pem).toString('base64'), `"${pem.replaceAll('\n', '\\n')}"`],
  },
  'public-keys': { run: text(readPublicKey), seeds: [publicKeyPem(publicKey)] },
  'der-signatures': {
    run: (input) => derToRaw(input, 'The key'),
    seeds: [sign('sha256', Buffer.from('x'), privateKey)],
  },
  'der-private-keys': {
    run: (der) => readPrivateKey(armoured('PRIVATE KEY', der)),
    seeds: [privateKey.export({ format: 'der', type: 'pkcs8' })],
  },
  'der-public-keys': {
    run: (der) => readPublicKey(armoured('PUBLIC KEY', der)),
    seeds: [publicKey.export({ format: 'der', type: 'spki' })],
  },
  'install-tokens': {
    run: text((token) =>
      verifyInstallToken(token, { keys: [{ publicKey, source: 'here' }], apps: [app], nowSeconds: NOW_SECONDS }),
    ),
    seeds: [installToken],
  },
  'access-tokens': { run: text((token) => seals.open('access', token)), seeds: [accessToken] },
  'sign-in-tokens': { run: text((token) => signIn.verify(token)), seeds: [customerJwt] },
  locators: {
    run: text(async (locator) => (await openSecret(locator, {})).close()),
    seeds: [
      'env://NAME',
      'file:///run/secrets/key.pem',
      'vault+kv://secret/webdist#key',
      'awssecrets://eu-west-1/webdist',
      'gcpsecrets://projects/p/secrets/s',
      'azuresecrets://vault.vault.azure.net/webdist',
    ],
  },
  'pkcs11-uris': {
    run: text(parsePkcs11Uri),
    seeds: [`pkcs11:token=t;object=o;id=%01?module-path=/lib/x.so&pin-value=${SECRET}`],
  },
  settings: { run: text(readSettings), seeds: [settingLines.join('\n'), ...settingLines] },
  'config-files': {
    run: (input) => {
      const problems: Problem[] = [];
      readConfigFile(fileWith(input), problems);
      if (problems.length > 0) throw new WebdistError('config_invalid', withoutNames(problems));
    },
    seeds: [configYaml, JSON.stringify({ apps: [{ ...app, key: 'env://KEY' }] })],
  },
  manifests: { run: text((json) => readSummary(json, app)), seeds: [manifest], throws: unreadable },
  'package-archives': {
    run: (input) => readArchive(input, undefined),
    seeds: [zipSync({ 'p/manifest.json': strToU8(manifest), 'p/signature': strToU8('x') })],
  },
  'device-links': {
    run: text((url) => judge({ installUrl: url, pageUrl: 'https://example.com/' }, store, NOW_SECONDS * 1000)),
    seeds: [link],
  },
  'audit-lines': {
    run: async (input) => {
      const verification = openVerification();
      await readLines([fileWith(input)], verification.add);
      verification.reports();
    },
    seeds: [`${auditLine}\n`],
  },
  'apple-answers': {
    run: readAnswer,
    seeds: [
      JSON.stringify({ data: [appDocument], links: { next: 'https://api.example.com/v1/apps?cursor=x' } }),
      JSON.stringify({ data: [domainDocument], links: {} }),
    ],
    throws: ['SyntaxError'],
  },
};
