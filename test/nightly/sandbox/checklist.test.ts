/**
 * Violates every line of the rejection checklist (docs/apple-facts.md §10) in every journey where that is possible, and
 * compares the reason that the simulated device gives. A line that is in neither table fails the test.
 */

import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import type { DeviceOptions } from '../../../src/sandbox/device/device.ts';
import type { Journey } from '../../../src/sandbox/device/journey.ts';
import { jws, newKey } from '../../harness/apple-client.ts';
import { APP, deviceFor, linkOf, refusalOf, startWebsite, type Website } from '../../harness/website.ts';

const LINES = 35;

/** Lines that no journey can violate. */
const notHere: Readonly<Record<number, string>> = {
  2: 'the browser drops a navigation without a tap before a device hears of it: test/browser/chromium.test.ts',
};

type JourneyName = 'install' | 'update' | 'reinstall' | 'backup';
const everywhere: readonly JourneyName[] = ['install', 'update', 'reinstall', 'backup'];
const withLink: readonly JourneyName[] = ['install', 'reinstall'];
const withLicence: readonly JourneyName[] = ['install', 'reinstall', 'backup'];

type Parts = { header: Record<string, unknown>; claims: Record<string, unknown> };

/** What is broken: the link, the page, the next token, an answer of the website, the device. */
type Broken = {
  readonly link?: (link: string) => string;
  readonly page?: string;
  readonly token?: (token: string, website: Website) => string;
  readonly fetch?: typeof fetch;
  readonly options?: Partial<DeviceOptions>;
};
type Row = readonly [line: number, how: string, says: RegExp, journeys: readonly JourneyName[], broken: Broken];

const partsOf = (token: string): Parts => {
  const [header, claims] = token.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()));
  return { header, claims };
};
const ownKey = ({ sandbox }: Website) => createPrivateKey(readFileSync(new URL(sandbox.settings['WEBDIST_KEY'] ?? '')));

/** The token with changed content, signed with the registered key. */
const signed =
  (change: (parts: Parts) => Partial<Parts>) =>
  (token: string, website: Website): string => {
    const parts = partsOf(token);
    const { header, claims } = { ...parts, ...change(parts) };
    return jws(header, claims, ownKey(website));
  };
const claims = (changes: Record<string, unknown>): Broken => ({
  token: signed((parts) => ({ claims: { ...parts.claims, ...changes } })),
});
const times = (change: (iat: number) => Record<string, unknown>): Broken => ({
  token: signed((parts) => ({ claims: { ...parts.claims, ...change(Number(parts.claims['iat'])) } })),
});
const header = (changes: Record<string, unknown>): Broken => ({
  token: signed((parts) => ({ header: { ...parts.header, ...changes } })),
});

/** An answer that replaces the website's. */
const answers = (path: string, answer: () => Response | Promise<Response>): Broken => ({
  fetch: async (input, init) => (String(input).includes(path) ? answer() : fetch(input, init)),
});
const status = (path: string, code: number): Broken => answers(path, () => new Response('', { status: code }));
const CONFIGURATION = '.well-known/marketplace-kit';
/** Changes a JSON answer of the website. */
const changes = (path: string, change: (body: Record<string, never>) => unknown): Broken => ({
  fetch: async (input, init) => {
    const answer = await fetch(input, init);
    return String(input).includes(path) ? Response.json(change((await answer.json()) as never)) : answer;
  },
});
/** Changes the `license` block of the configuration. */
const configured = (license: object): Broken =>
  changes(CONFIGURATION, ({ license: own, ...body }: { license?: object }) => ({
    ...body,
    license: { ...own, ...license },
  }));
/** Changes the entries in a restore or updates answer. */
const entry = (change: object): Broken =>
  changes('/marketplace-kit/', ({ restores, updates }: { restores?: object[]; updates?: object[] }) => ({
    ...(restores && { restores: restores.map((one) => ({ ...one, ...change })) }),
    ...(updates && { updates: updates.map((one) => ({ ...one, ...change })) }),
  }));
/** Changes the devices that the variants of a package are for. */
const targets = (change: (target: { device: string; os: string }) => object[]): Broken =>
  changes('manifest.json', ({ variants, ...body }: { variants?: { installTargets: never[] }[] }) => ({
    ...body,
    variants: variants?.map((one) => ({ ...one, installTargets: one.installTargets.flatMap(change) })),
  }));
/** Does not answer until the caller aborts. */
const silent =
  (path: string): typeof fetch =>
  (input, init) =>
    String(input).includes(path)
      ? new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
      : fetch(input, init);
const timeout = () => Promise.reject(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));

/** A link to another package URL. */
const packageAt = (url: string): Broken => ({
  link: (link) => link.replace(/(Package=)[^&]+/, `$1${encodeURIComponent(url)}`),
});

const OTHER_KID = '0f3c8a52-6f0e-4c1b-9d6a-2b7f6f1f9c11';

const rows: readonly Row[] = [
  [
    1,
    'another scheme',
    /must start with marketplace-kit:/,
    withLink,
    { link: (link) => link.replace('marketplace-kit:', 'https:') },
  ],
  [
    1,
    'another action',
    /must start with marketplace-kit:/,
    withLink,
    { link: (link) => link.replace('//install', '//launch') },
  ],
  [1, 'white space', /contain no white space/, withLink, { link: (link) => `${link} ` }],
  [1, 'broken encoding', /encodeURIComponent/, withLink, { link: (link) => `${link}&account=%E0%A4` }],
  [
    3,
    'no token',
    /exactly one installVerificationToken/,
    withLink,
    { link: (link) => link.replace(/(Token=)[^&]+/, '$1') },
  ],
  [
    3,
    'two tokens',
    /exactly one installVerificationToken/,
    withLink,
    { link: (link) => `${link}&installVerificationToken=x` },
  ],
  [
    3,
    'no parameter',
    /exactly one installVerificationToken/,
    withLink,
    { link: (link) => link.replace('VerificationToken=', 'Token=') },
  ],
  ...[
    'https:///example.com/adp',
    'https://example.com\\adp',
    'http://example.com/adp',
    '//example.com/adp',
    'https://exa mple.com/adp',
  ].map((url): Row => [4, url, /an absolute https URL/, withLink, packageAt(url)]),
  [4, 'a query', /must not have a query or a fragment/, withLink, packageAt('https://example.com/adp/6500000001?a=b')],
  [4, 'no address', /absolute https URL/, withLink, { link: (link) => link.replace(/(Package=)[^&]+/, '$1nothing') }],
  [5, 'page without TLS', /page must be at an https URL/, withLink, { page: 'http://example.com/' }],
  [5, 'page on a subdomain', /on the same host/, withLink, { page: 'https://shop.example.com/' }],
  [5, 'page on another host', /on the same host/, withLink, { page: 'https://www.example.com/' }],
  ...['notexample.com', 'example.com.evil.org', 'example.co'].map(
    (host): Row => [
      6,
      host,
      /is not a domain registered/,
      withLink,
      { link: (link) => link.replaceAll('example.com', host), page: `https://${host}/` },
    ],
  ),
  [
    6,
    'a domain that is not registered',
    /example\.org is not a domain registered/,
    withLink,
    { link: (link) => link.replace('example.com', 'example.org'), page: 'https://example.org/' },
  ],
  [
    7,
    'an app of another account',
    /no known app has the bundle id/,
    everywhere,
    claims({ iss: '6500000099', bid: 'org.example.other' }),
  ],
  [8, 'two parts', /has 2 parts/, everywhere, { token: (token) => token.split('.').slice(0, 2).join('.') }],
  [8, 'padded', /contains \+ \/ or =/, everywhere, { token: (token) => `${token}=` }],
  [9, 'alg none', /alg: "none", expected "ES256"/, everywhere, header({ alg: 'none' })],
  [9, 'no typ', /typ: missing, expected "JWT"/, everywhere, header({ typ: undefined })],
  [9, 'a key in the header', /header: has jwk in addition/, everywhere, header({ jwk: {} })],
  [10, 'a key that is not registered', /kid: .* is signed with the key/, everywhere, header({ kid: OTHER_KID })],
  [
    11,
    'signed by another key',
    /signature: does not verify/,
    everywhere,
    { token: (token) => jws(partsOf(token).header, partsOf(token).claims, newKey().privateKey) },
  ],
  [
    11,
    'DER instead of r‖s',
    /signature: has \d+ bytes in DER/,
    everywhere,
    {
      token(token, website) {
        const input = token.split('.').slice(0, 2).join('.');
        return `${input}.${sign('sha256', Buffer.from(input), ownKey(website)).toString('base64url')}`;
      },
    },
  ],
  [12, 'another audience', /aud: "appstoreconnect-v1", expected/, everywhere, claims({ aud: 'appstoreconnect-v1' })],
  [12, 'a list', /aud: \[/, everywhere, claims({ aud: ['AppleDownloadVerification-v1'] })],
  [13, 'a number', /iss: 6500000001 is a number, expected a string/, everywhere, claims({ iss: 6500000001 })],
  [
    14,
    'another case',
    /bid: com.Example.trailmap, expected com.example.trailmap/,
    everywhere,
    claims({ bid: 'com.Example.trailmap', iss: APP }),
  ],
  [
    14,
    'the manifest of another bundle id',
    /bid is com.example.trailmap, in the manifest .* org.example.other/,
    everywhere,
    changes('manifest.json', (body) => ({ ...body, bundleId: 'org.example.other' })),
  ],
  [15, 'milliseconds', /in milliseconds, expected seconds/, everywhere, times((iat) => ({ iat: iat * 1000 }))],
  [16, 'expired', /expired .* ago/, everywhere, times((iat) => ({ iat: iat - 3600, exp: iat - 1 }))],
  [16, 'not yet', /iat: .* in the future/, everywhere, times((iat) => ({ iat: iat + 600, exp: iat + 1200 }))],
  [17, 'no exp', /exp: missing/, everywhere, claims({ exp: undefined })],
  [18, 'two hours', /lifetime: warning: 7200 s, more than 3600/, everywhere, times((iat) => ({ exp: iat + 7200 }))],
  [19, 'a capital letter', /dtype: "Download", expected/, everywhere, claims({ dtype: 'Download' })],
  [
    20,
    'redownload on a new device',
    /never had the app: expected download/,
    ['install'],
    claims({ dtype: 'redownload' }),
  ],
  [
    20,
    'download on an old one',
    /had the app: expected redownload/,
    ['update', 'reinstall'],
    claims({ dtype: 'download' }),
  ],
  [20, 'download in a restore', /had the app: expected redownload/, ['backup'], claims({ dtype: 'download' })],
  [21, 'no UUID', /nonce: "1", expected a random UUID/, everywhere, claims({ nonce: '1' })],
  [22, 'of another app', /iid: 6500000002, expected 6500000001/, everywhere, claims({ iid: '6500000002' })],
  [23, 'of another version', /vid: 2000000001, .*manifest/, everywhere, claims({ vid: '2000000001' })],
  [24, 'iid alone', /iid and vid: warning: only one of them/, everywhere, claims({ vid: undefined })],
  [25, 'lower case', /ccode: warning: "ie", expected/, everywhere, claims({ ccode: 'ie' })],
  [26, 'a claim of our own', /Apple documents no such claims/, everywhere, claims({ tenant: '1' })],
  [27, 'not there', /networkError.*404/, everywhere, status(CONFIGURATION, 404)],
  [
    27,
    'redirects',
    /redirects; it must answer directly/,
    everywhere,
    answers(CONFIGURATION, () => Response.redirect('https://example.com/other')),
  ],
  [
    27,
    'a bad certificate',
    /cannot be reached .*self-signed/,
    everywhere,
    answers(CONFIGURATION, () => Promise.reject(new Error('self-signed certificate'))),
  ],
  [27, 'no JSON', /is not JSON/, everywhere, answers(CONFIGURATION, () => new Response('<html>'))],
  [
    27,
    'no restore',
    /marketplace-kit: .*restore/,
    everywhere,
    changes(CONFIGURATION, ({ restore: _, ...rest }) => rest),
  ],
  [
    27,
    'no updates',
    /marketplace-kit: .*updates/,
    everywhere,
    changes(CONFIGURATION, ({ updates: _, ...rest }) => rest),
  ],
  [
    27,
    'no licence address',
    /dynamicLicenseURL/,
    everywhere,
    changes(CONFIGURATION, (body) => ({ ...body, license: {} })),
  ],
  ...['licenseRenewalURL', 'licenseResolutionURL', 'signingCertificateURL', 'encryptionCertificateURL'].map(
    (name): Row => [27, `no ${name}`, new RegExp(name), ['install', 'update'], configured({ [name]: undefined })],
  ),
  [27, 'a path instead of a URL', /licenseRenewalURL/, ['install'], configured({ licenseRenewalURL: '/renew' })],
  [
    27,
    'a certificate without TLS',
    /signingCertificateURL/,
    ['install'],
    configured({ signingCertificateURL: 'http://example.com/signing.cer' }),
  ],
  [28, 'no metadata', /oauth-authorization-server.*404/, withLink, status('oauth-authorization-server', 404)],
  [
    28,
    'refused',
    /oauthTokenError.*400.*invalid_grant/,
    withLink,
    answers('/oauth/token', () => Response.json({ error: 'invalid_grant' }, { status: 400 })),
  ],
  [28, 'not a bearer', /token_type/, withLink, changes('/oauth/token', (body) => ({ ...body, token_type: 'mac' }))],
  [
    28,
    'the access token is refused',
    /would ask the user to sign in/,
    ['update', 'backup'],
    status('/marketplace-kit/', 401),
  ],
  [29, 'the licence server fails', /invalidLicense.*500/, withLicence, status('/ald/license', 500)],
  [
    29,
    'no licence',
    /grants no licence for 6500000001/,
    withLicence,
    changes('/ald/license', (body) => ({ ...body, unlicensedApps: [APP] })),
  ],
  [
    29,
    'too late',
    /invalidLicense.*timeout/,
    ['install'],
    { fetch: silent('/ald/license'), options: { licenseSeconds: 0.5 } },
  ],
  [29, 'too late', /invalidLicense.*timeout/, withLicence, answers('/ald/license', timeout)],
  [30, 'no token', /missingInstallVerificationToken/, everywhere, entry({ installVerificationToken: '' })],
  [
    30,
    'another version',
    /got version 2000000001, but the link is for/,
    withLink,
    entry({ appleVersionId: '2000000001' }),
  ],
  [
    30,
    'a failure',
    /App Not Available: gone/,
    withLicence,
    changes('/restore', () => ({ failures: [{ appleItemId: APP, failure: { description: 'gone' } }] })),
  ],
  [30, 'nothing of the app', /no entry for 6500000001/, withLicence, changes('/restore', () => ({ restores: [] }))],
  [30, 'the endpoint fails', /answered 503, expected 200/, everywhere, status('/marketplace-kit/', 503)],
  [
    31,
    'on another host',
    /not an https URL on example.com/,
    everywhere,
    entry({ alternativeDistributionPackage: 'https://cdn.example.org/adp' }),
  ],
  [
    31,
    'without TLS',
    /not an https URL on example.com/,
    everywhere,
    entry({ alternativeDistributionPackage: 'http://example.com/adp' }),
  ],
  [
    31,
    'on another port',
    /not an https URL on example.com/,
    everywhere,
    entry({ alternativeDistributionPackage: 'https://example.com:8443/adp' }),
  ],
  [32, 'no manifest', /manifest.json answered 404/, everywhere, status('manifest.json', 404)],
  [
    32,
    'a manifest that is none',
    /invalidManifest/,
    everywhere,
    answers('manifest.json', () => new Response('<html>')),
  ],
  [32, 'no signature', /signature answered 404/, everywhere, status('/signature', 404)],
  [
    32,
    'an empty signature',
    /PackageSignature.*is not the signature/,
    everywhere,
    answers('/signature', () => new Response('')),
  ],
  [
    32,
    'a signature of something else',
    /PackageSignature.*is not the signature/,
    everywhere,
    answers('/signature', () => new Response(new Uint8Array(256).fill(7))),
  ],
  [
    32,
    'a manifest written again',
    /PackageSignature.*byte for byte/,
    everywhere,
    changes('manifest.json', (body) => body),
  ],
  [
    32,
    'a changed file',
    /chunk 1 of .* does not match the manifest/,
    everywhere,
    answers('/variant/', () => new Response(new Uint8Array(143_417))),
  ],
  [
    32,
    'a short file',
    /has 1 chunks, the manifest lists 3/,
    everywhere,
    answers('/variant/', () => new Response(new Uint8Array(9))),
  ],
  [
    33,
    'a newer system',
    /minimumPlatformVersionNotSatisfied: the app needs 19.0/,
    everywhere,
    changes('manifest.json', (body) => ({ ...body, minimumSystemVersions: { ios: '19.0' } })),
  ],
  [
    33,
    'another platform',
    /unsupportedPlatform: the app is for visionos/,
    everywhere,
    changes('manifest.json', (body) => ({ ...body, platforms: ['visionos'] })),
  ],
  [
    33,
    'a capability',
    /missingCapabilities: this device lacks lidar/,
    everywhere,
    changes('manifest.json', (body) => ({ ...body, requiredDeviceCapabilities: ['lidar'] })),
  ],
  [
    33,
    'no variant',
    /noSupportedVariant/,
    everywhere,
    changes('manifest.json', ({ variants, ...body }: { variants?: object[] }) => ({
      ...body,
      variants: variants?.map((one) => ({ ...one, installTargets: [] })),
    })),
  ],
  [
    33,
    'a variant for another model',
    /noSupportedVariant/,
    everywhere,
    targets(() => [{ device: 'iPhone99,9', os: '17.5' }]),
  ],
  [
    33,
    'a variant for a newer system',
    /noSupportedVariant.*with 18.5/,
    everywhere,
    targets((one) => [{ ...one, os: '26.0' }]),
  ],
  [
    33,
    'one variant for no device',
    /is for no device/,
    everywhere,
    targets((one) => (one.device === 'iPhone14,5' ? [one] : [])),
  ],
  [34, 'an update to what is there', /mismatchedInstallType.*not newer/, ['update'], entry({ appleVersionId: '1' })],
  [
    34,
    'an update to an older version',
    /mismatchedInstallType.*not newer/,
    ['update'],
    entry({ appleVersionId: '1999' }),
  ],
  [
    34,
    'an update of another app',
    /mismatchedInstallType: 6500000002 is not installed/,
    ['update'],
    entry({ appleItemId: '6500000002' }),
  ],
  [35, 'an old system', /featureUnavailable: iOS 17.4/, ['install'], { options: { profile: { osVersion: '17.4' } } }],
  [35, 'an old iPad', /iPadOS 17.7/, ['install'], { options: { profile: { platform: 'iPadOS', osVersion: '17.7' } } }],
  [35, 'a region with marketplaces only', /in JP/, ['install'], { options: { profile: { region: 'JP' } } }],
  [35, 'outside the EU', /European Union/, ['install'], { options: { profile: { region: 'US' } } }],
];

/** Lines that do not stop an install: the step is ok, with a warning. */
const warnings = [18, 20, 24, 25, 26];

/** Runs one journey on a new device; everything before it is in order. */
async function travel(website: Website, name: JourneyName, broken: Broken): Promise<Journey> {
  await fetch(`${website.sandbox.baseUrl}/_sandbox/device`, { method: 'DELETE' });
  let isBroken = false;
  const spoil = (token: string) => (isBroken && broken.token ? broken.token(token, website) : token);
  const device = deviceFor(website, {
    ...broken.options,
    async fetch(input, init) {
      const answer = await (isBroken ? (broken.fetch ?? fetch) : fetch)(input, init);
      const isEntry = /\/marketplace-kit\/(restore|updates)$/.test(String(input));
      if (!isBroken || !broken.token || !isEntry) return answer;
      const text = await answer.text();
      return new Response(text.replace(/(?<="installVerificationToken":")[^"]+/g, spoil), { status: answer.status });
    },
  });
  const tap = async () => {
    const { installUrl } = await linkOf(website);
    const link = installUrl.replace(/(?<=installVerificationToken=)[^&]+/, spoil);
    return device.install(isBroken && broken.link ? broken.link(link) : link, isBroken ? broken.page : undefined);
  };
  if (name !== 'install') {
    const before = await tap();
    if (!before.accepted) throw new Error(`the install before: ${refusalOf(before)?.detail}`);
  }
  if (name === 'update') await website.release();
  isBroken = true;
  if (name === 'update') return device.update();
  if (name === 'backup') return device.restoreFromBackup();
  device.remove(APP);
  return tap();
}

t.test('every line, in every journey', async (t) => {
  const website = await startWebsite(t);
  for (const [line, how, says, journeys, broken] of rows)
    await t.test(`${line}: ${how}`, async (t) => {
      for (const name of journeys) {
        const journey = await travel(website, name, broken);
        if (warnings.includes(line)) {
          const warned = journey.steps.find(({ detail }) => says.test(detail));
          t.match(warned, { ok: true, detail: /warning: / }, `${name}: ${JSON.stringify(journey.steps)}`);
          continue;
        }
        const refused = refusalOf(journey);
        t.notOk(journey.accepted, name);
        t.match(refused, { line, detail: says }, `${name}: ${refused?.line} ${refused?.detail}`);
      }
    });
});

t.test('21: the token of the link comes back in the restore; 34: nothing is installed', async (t) => {
  const website = await startWebsite(t);
  const { installUrl } = await linkOf(website);
  const [used = ''] = /(?<=installVerificationToken=)[\w.-]+/.exec(installUrl) ?? [];
  const device = deviceFor(website, entry({ installVerificationToken: used }));
  t.match(refusalOf(await device.install(installUrl)), { line: 21, detail: /seen before/ });
  t.match(refusalOf(await device.update()), { line: 34, detail: /appNotInstalled/ });
});

t.test('every line of the checklist is covered', async (t) => {
  const held = new Set([...rows.map(([line]) => line), ...Object.keys(notHere).map(Number)]);
  const all = Array.from({ length: LINES }, (_, index) => index + 1);
  t.strictSame(
    all.filter((line) => !held.has(line)),
    [],
  );
  // The lines of the token itself have theirs in forged.test.ts.
  for (const line of all.filter((line) => !(line in notHere) && (line < 7 || line === 20 || line > 26)))
    t.ok(rows.filter((row) => row[0] === line).length >= 3, `line ${line} has at least three violations`);
  const said = readFileSync('docs/device-side.md', 'utf8');
  for (const line of Object.keys(notHere))
    t.match(said, new RegExp(`line ${line}\\b`, 'i'), `docs/device-side.md explains why line ${line} is not covered`);
});
