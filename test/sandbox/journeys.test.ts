/** The whole way of an app onto a device and back, over real HTTP, and every reason why it does not get there (apple-facts §10). */

import t, { type Test } from 'tap';
import { readConfig } from '../../src/config.ts';
import { buildServer } from '../../src/http/server.ts';
import { openLog } from '../../src/log.ts';
import { type Journey, type JourneyOptions, openPhone } from '../../src/sandbox/journey.ts';
import { openSandbox } from '../../src/sandbox/sandbox.ts';
import { sandboxWebsite } from '../../src/sandbox/website.ts';
import { openService } from '../../src/service.ts';
import { askToken, runWebdist, startProcess, temporaryFolder, until } from '../running.ts';

const APP = '6500000001';
const LATER_MS = 1_300_000;

/** A website: webdist, packages and the licence stub at one address, with a clock of their own. */
async function startWebsite(t: Test, settings: Record<string, string> = {}) {
  const clock = { now: Date.now() };
  const now = () => clock.now;
  const sandbox = await openSandbox({ dataDir: temporaryFolder(t), now });
  const env = { ...sandbox.settings, WEBDIST_DATA_DIR: temporaryFolder(t), WEBDIST_RATE_LIMIT: '100000', ...settings };
  const log = openLog('silent');
  const service = await openService(readConfig(env), { env, log, now });
  const server = await buildServer({ service, log, pages: sandboxWebsite(sandbox) });
  const url = await server.app.listen({ host: '127.0.0.1', port: 0 });
  t.teardown(async () => {
    await server.close();
    await service.close();
    await sandbox.close();
  });
  await until(() => service.health().ready && service.catalogue.currentOf(service.appNamed(APP)), 'ready');
  return { clock, sandbox, service, url };
}

type Website = Awaited<ReturnType<typeof startWebsite>>;

const phoneFor = ({ url, sandbox }: Website, options: Partial<JourneyOptions> = {}) =>
  openPhone({ website: url, domain: 'example.com', judge: sandbox.device, licenseSeconds: 1, ...options });

/** The link of a page; the same cookie is the same device. */
async function linkOf({ url }: Website, headers: Record<string, string> = {}) {
  const answer = await askToken(url, {}, headers);
  const { installUrl } = (await answer.json()) as { installUrl: string };
  return { installUrl, cookie: answer.headers.getSetCookie()[0]?.split(';')[0] ?? '' };
}

const refusalOf = ({ steps }: Journey) => steps.find(({ ok }) => !ok);

t.test('install, update, delete and reinstall, restore from a backup', async (t) => {
  const website = await startWebsite(t);
  const phone = phoneFor(website);
  const { installUrl, cookie } = await linkOf(website);
  const installed = await phone.install(installUrl);
  t.ok(installed.accepted, JSON.stringify(refusalOf(installed)));
  t.strictSame(
    installed.steps.map(({ name }) => name),
    [
      'link and its token',
      'eligibility',
      'linked manifest',
      'configuration',
      'token exchange',
      'licence',
      'restore',
      'restore token',
      'package address',
      'package',
      'installed',
    ],
  );
  t.strictSame(
    installed.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['link download', 'restore download'],
  );

  website.clock.now += LATER_MS;
  await fetch(`${website.sandbox.baseUrl}/_sandbox/packages`, { method: 'POST' });
  await website.service.look();
  const updated = await phone.update();
  t.ok(updated.accepted, JSON.stringify(refusalOf(updated)));
  t.strictSame(
    updated.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['update redownload'],
  );
  t.strictSame(phone.apps(), [{ appleItemId: APP, appleVersionId: '2000000057' }]);
  t.equal(refusalOf(await phone.update())?.line, 34, 'there is nothing newer');

  phone.remove(APP);
  const again = await phone.install((await linkOf(website, { cookie })).installUrl);
  t.ok(again.accepted, JSON.stringify(refusalOf(again)));
  t.strictSame(
    again.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['link redownload', 'restore redownload'],
  );

  website.clock.now += 4_000_000;
  const back = await phone.restoreFromBackup();
  t.ok(back.accepted, `the access token is refreshed: ${JSON.stringify(refusalOf(back))}`);
  t.strictSame(
    back.tokens.map(({ place, dtype }) => `${place} ${dtype}`),
    ['restore redownload'],
  );
  const nonces = [installed, updated, again, back].flatMap(({ tokens }) => tokens.map(({ nonce }) => nonce));
  t.equal(new Set(nonces).size, 6, 'no two tokens are alike');
  const warnings = [installed, updated, again, back].flatMap(({ steps }) =>
    steps.filter(({ detail }) => /warning/.test(detail)),
  );
  t.strictSame(warnings, []);
});

/** A journey through a website on which one answer is spoilt. */
type Spoil = (body: Record<string, never>) => unknown;

t.test('every line of the checklist that a website can break', async (t) => {
  const website = await startWebsite(t);
  const respond =
    (path: string, answer: () => Response | Promise<Response>): typeof fetch =>
    async (input, init) =>
      String(input).includes(path) ? answer() : fetch(input, init);
  const change =
    (path: string, spoil: Spoil): typeof fetch =>
    async (input, init) => {
      const answer = await fetch(input, init);
      return String(input).includes(path) ? Response.json(spoil((await answer.json()) as never)) : answer;
    };
  const entry = (changes: object): typeof fetch =>
    change('/restore', ({ restores }: { restores?: object[] }) => ({ restores: [{ ...restores?.[0], ...changes }] }));
  const CONFIGURATION = '.well-known/marketplace-kit';
  const cases: [line: number, what: RegExp, options: Partial<JourneyOptions>][] = [
    [27, /networkError.*404/, { fetch: respond(CONFIGURATION, () => new Response('', { status: 404 })) }],
    [27, /redirect/, { fetch: respond(CONFIGURATION, () => Response.redirect('https://example.com/other')) }],
    [27, /not JSON/, { fetch: respond(CONFIGURATION, () => new Response('<html>')) }],
    [27, /restore/, { fetch: change(CONFIGURATION, ({ restore: _, ...rest }) => rest) }],
    [27, /updates/, { fetch: change(CONFIGURATION, ({ updates: _, ...rest }) => rest) }],
    [27, /license/, { fetch: change(CONFIGURATION, (body) => ({ ...body, license: {} })) }],
    [
      28,
      /oauth-authorization-server.*404/,
      { fetch: respond('oauth-authorization-server', () => new Response('', { status: 404 })) },
    ],
    [
      28,
      /oauthTokenError.*400/,
      { fetch: respond('/oauth/token', () => Response.json({ error: 'invalid_grant' }, { status: 400 })) },
    ],
    [28, /token_type/, { fetch: change('/oauth/token', (body) => ({ ...body, token_type: 'mac' })) }],
    [29, /invalidLicense.*500/, { fetch: respond('/ald/license', () => new Response('', { status: 500 })) }],
    [29, /no licence/, { fetch: change('/ald/license', (body) => ({ ...body, unlicensedApps: [APP] })) }],
    [29, /invalidLicense/, { licenseSeconds: 0.05, fetch: slow('/ald/license') }],
    [30, /missingInstallVerificationToken/, { fetch: entry({ installVerificationToken: '' }) }],
    [30, /2000000099/, { fetch: entry({ appleVersionId: '2000000099' }) }],
    [
      30,
      /App Not Available/,
      { fetch: change('/restore', () => ({ failures: [{ appleItemId: APP, failure: { description: 'gone' } }] })) },
    ],
    [30, /no entry/, { fetch: change('/restore', () => ({ restores: [] })) }],
    [31, /PackageURL/, { fetch: entry({ alternativeDistributionPackage: 'https://cdn.example.org/adp' }) }],
    [31, /PackageURL/, { fetch: entry({ alternativeDistributionPackage: 'http://example.com/adp' }) }],
    [32, /404/, { fetch: respond('/signature', () => new Response('', { status: 404 })) }],
    [32, /Signature/, { fetch: respond('/signature', () => new Response('')) }],
    [32, /chunk 1/, { fetch: respond('/variant/', () => new Response(new Uint8Array(143_417))) }],
    [32, /chunks/, { fetch: respond('/variant/', () => new Response(new Uint8Array(9))) }],
    [
      33,
      /minimumPlatformVersionNotSatisfied/,
      { fetch: change('manifest.json', (body) => ({ ...body, minimumSystemVersions: { ios: '19.0' } })) },
    ],
    [33, /unsupportedPlatform/, { fetch: change('manifest.json', (body) => ({ ...body, platforms: ['visionos'] })) }],
    [
      33,
      /missingCapabilities/,
      { fetch: change('manifest.json', (body) => ({ ...body, requiredDeviceCapabilities: ['lidar'] })) },
    ],
    [33, /noSupportedVariant/, { phone: { model: 'iPhone99,1' } }],
    [35, /featureUnavailable/, { phone: { osVersion: '17.4' } }],
    [35, /European Union/, { phone: { isInEligibleRegion: false } }],
  ];
  for (const [line, what, options] of cases) {
    const journey = await phoneFor(website, options).install((await linkOf(website)).installUrl);
    const refused = refusalOf(journey);
    t.notOk(journey.accepted);
    t.match(refused, { line, detail: what }, `line ${line}: ${refused?.detail}`);
  }
  const { installUrl } = await linkOf(website);
  const replay: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (!String(input).includes('/restore')) return answer;
    const body = (await answer.json()) as { restores: object[] };
    const token = /installVerificationToken=([\w.-]+)/.exec(installUrl)?.[1];
    return Response.json({ restores: [{ ...body.restores[0], installVerificationToken: token }] });
  };
  t.match(refusalOf(await phoneFor(website, { fetch: replay }).install(installUrl)), {
    line: 21,
    detail: /seen before/,
  });
});

t.test('every line of the checklist that a link can break', async (t) => {
  const website = await startWebsite(t);
  const spoilt: [line: number, spoil: (link: string) => string, page?: string][] = [
    [1, (link) => link.replace('marketplace-kit:', 'https:')],
    [3, (link) => link.replace(/installVerificationToken=[^&]+/, 'installVerificationToken=')],
    [4, (link) => link.replace(/Package=[^&]+/, 'Package=nothing')],
    [5, (link) => link, 'https://other.example.com/'],
    [6, (link) => link.replace('example.com', 'example.org'), 'https://example.org/'],
    [8, (link) => link.replace(/(installVerificationToken=[^.]+)\.[^.]+\./, '$1.')],
    [11, (link) => link.replace(/(installVerificationToken=[^&]{40,}?)[^&]{4}&/, '$1AAAA&')],
    [32, (link) => link.replace('%2Fadp%2F', '%2Fother%2F')],
  ];
  for (const [line, spoil, page] of spoilt) {
    const journey = await phoneFor(website).install(spoil((await linkOf(website)).installUrl), page);
    t.match(refusalOf(journey), { line }, `line ${line}: ${refusalOf(journey)?.detail}`);
  }
  const late = (await linkOf(website)).installUrl;
  website.clock.now += LATER_MS;
  t.match(refusalOf(await phoneFor(website).install(late)), { line: 16, detail: /over/ });
  t.equal(refusalOf(await phoneFor(website).update())?.line, 34, 'nothing is installed');
});

t.test('webdist sandbox device install prints each step', async (t) => {
  const service = await startProcess(t, { WEBDIST_MODE: 'sandbox', WEBDIST_DATA_DIR: temporaryFolder(t) });
  await until(async () => (await fetch(`${service.url}/health/ready`)).ok, 'ready');
  const told = runWebdist(t, ['sandbox', 'device', 'install', service.url]);
  t.equal(await told.exited, 0, told.output());
  t.match(told.output(), /install\n.*ok.*link and its token[\s\S]*restore from backup[\s\S]*installed/);
  const nobody = runWebdist(t, ['sandbox', 'device', 'install', 'http://127.0.0.1:9']);
  t.equal(await nobody.exited, 2);
  t.match(nobody.output(), /Nothing answers/);
});

/** Answers only when whoever asked has given up. */
function slow(path: string): typeof fetch {
  return (input, init) =>
    String(input).includes(path)
      ? new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
      : fetch(input, init);
}
