/** The public checks, against a website with https and the service behind it: correct, and with each fault that they detect. */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import t from 'tap';
import type { HostRecords } from '../../../src/doctor/dns.ts';
import { checks, runCheck, runDoctor } from '../../../src/doctor/doctor.ts';
import { openFacts } from '../../../src/doctor/facts.ts';
import type { Environment } from '../../../src/environment.ts';
import { makeCertificate } from '../../harness/certificates.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { startLicenceServer } from '../../harness/licence.ts';
import { freePort, listen } from '../../harness/port.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

type Answer = { status?: number; headers?: Record<string, string>; body?: string | Uint8Array };

t.test('public checks', async (t) => {
  const sandbox = await startSandbox(t);
  const dataDir = temporaryFolder(t);
  const licence = await startLicenceServer(t);
  const service = await startReady(t, sandbox, {
    ...licence.settings,
    WEBDIST_DATA_DIR: dataDir,
    WEBDIST_TRUST_PROXY: '127.0.0.1',
    WEBDIST_WEBHOOK_SECRET: 'a secret that App Store Connect has, too',
    WEBDIST_COUNTRY_HEADER: 'x-country',
  });
  await until(() => service.log.events('domain_registered').length, 'the domain');
  const env: Record<string, string> = {
    ...sandbox.settings,
    ...licence.settings,
    PORT: String(await freePort()),
    WEBDIST_DATA_DIR: dataDir,
    WEBDIST_TRUST_PROXY: '127.0.0.1',
  };
  const manifest = await (await fetch(env['WEBDIST_PACKAGE_MANIFEST'] ?? '')).text();
  const { variants } = JSON.parse(manifest) as { variants: { assetPath: string }[] };
  const [assetPath = '', lastAsset = ''] = variants.map((variant) => variant.assetPath);
  const json = { 'content-type': 'application/json' };
  const adp = '/adp/6500000001';
  const site: Readonly<Record<string, Answer>> = {
    '/trailmap': {
      headers: { 'content-type': 'text/html' },
      body: '<script type=module src=/install-button.js></script><install-button>',
    },
    [`${adp}/manifest.json`]: { headers: json, body: manifest },
    [`${adp}/signature`]: { body: 'signature' },
    [`${adp}/${assetPath}`]: { body: 'ipa' },
    [`${adp}/${lastAsset}`]: { body: 'ipa' },
  };
  let broken: Readonly<Record<string, Answer | ((answer: Answer) => Answer)>> = {};

  let forwarded: Readonly<Record<string, string>> = { 'x-forwarded-for': '203.0.113.9' };
  const fromService = async (request: IncomingMessage): Promise<Answer> => {
    const body = request.method === 'POST' ? await text(request) : undefined;
    const { origin, 'content-type': type, cookie, 'webdist-doctor': proof } = request.headers;
    const answer = await fetch(`${service.url}${request.url?.replace(/^\/webdist/, '')}`, {
      method: request.method ?? 'GET',
      headers: {
        ...(origin && { origin }),
        ...(type && { 'content-type': type }),
        ...(cookie && { cookie }),
        ...(typeof proof === 'string' && { 'webdist-doctor': proof }),
        ...forwarded,
      },
      ...(body !== undefined && { body }),
    });
    const headers = Object.fromEntries(answer.headers);
    delete headers['content-length'];
    return { status: answer.status, headers, body: Buffer.from(await answer.arrayBuffer()) };
  };
  const good = makeCertificate('example.com', 90);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), good.cert]);
  const server = createServer(good, async (request, response) => {
    const path = request.url ?? '';
    const change = broken[path];
    const usual = site[path] ?? (await fromService(request));
    const { status = 200, headers, body } = typeof change === 'function' ? change(usual) : (change ?? usual);
    response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : body);
  });
  const connect = `127.0.0.1:${await listen(server)}`;
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });

  const diagnose = (page = 'https://example.com/trailmap', settings = {}, to = connect) =>
    runDoctor({ env: { ...env, ...settings }, publicUrl: new URL(page), connect: to });
  const problems = async (...args: Parameters<typeof diagnose>) =>
    (await diagnose(...args))
      .filter(({ result, section }) => section === 'public' && (result === 'warn' || result === 'fail'))
      .map(({ id, result }) => `${result} ${id}`);

  await t.test('a correct website passes every check', async (t) => {
    const found = await diagnose();
    t.strictSame(
      found.filter(({ result }) => result === 'warn' || result === 'fail'),
      [],
    );
    const publicIds = found.filter(({ section }) => section === 'public').map(({ id }) => id);
    t.ok(publicIds.length >= 20, publicIds.join(' '));
  });

  /** What one check finds, without the others. */
  const finding = async (id: string, settings: Environment) => {
    const options = { env: { ...env, ...settings }, publicUrl: new URL('https://example.com/trailmap'), connect };
    const facts = openFacts(options);
    const check = checks.find((one) => one.id === id);
    try {
      return check && (await runCheck(check, facts));
    } finally {
      await facts.close();
    }
  };
  const html = { 'content-type': 'text/html' };
  const button = '<script type=module src=/install-button.js></script><install-button></install-button>';
  const withPolicy = (policy: string) => ({ headers: { ...html, 'content-security-policy': policy }, body: button });
  const withCookie = (change: (cookie: string) => string | undefined) => (answer: Answer) => {
    const { 'set-cookie': cookie = '', ...headers } = answer.headers ?? {};
    const changed = change(cookie);
    return { ...answer, headers: { ...headers, ...(changed && { 'set-cookie': changed }) } };
  };
  const withText = (from: RegExp, to: string) => (answer: Answer) => ({
    ...answer,
    body: Buffer.from(answer.body ?? '')
      .toString()
      .replace(from, to),
  });
  const down = { status: 502, headers: html, body: '<h1>Bad Gateway</h1>' };
  const notFound = { status: 404, headers: html, body: '<h1>Not Found</h1>' };
  const redirect = { status: 301, headers: { location: 'https://www.example.com/' } };
  const cases: readonly (readonly [string, typeof broken])[] = [
    ['fail page-reachable', { '/trailmap': { status: 404 } }],
    ['fail page-redirect', { '/trailmap': redirect }],
    ['fail package-public', { [`${adp}/manifest.json`]: { status: 403 } }],
    ['fail package-redirect', { [`${adp}/manifest.json`]: redirect }],
    ['warn package-type', { [`${adp}/manifest.json`]: { headers: { 'content-type': 'text/plain' }, body: manifest } }],
    ['fail package-exact', { [`${adp}/manifest.json`]: { headers: json, body: `${manifest}\n` } }],
    ['fail package-signature', { [`${adp}/signature`]: { status: 404 } }],
    ['fail package-assets', { [`${adp}/${assetPath}`]: { status: 404 } }],
    ['fail package-assets', { [`${adp}/${assetPath}`]: { headers: { 'content-length': '3' } } }],
    ['fail package-assets', { [`${adp}/${lastAsset}`]: { status: 404 } }],
    ['fail service-ready', { '/health/ready': { status: 503 } }],
    ['fail button', { '/install-button.js': { status: 404 } }],
    ['fail button', { '/install-button.js': { headers: { 'content-type': 'text/html' }, body: '' } }],
    ['fail token-answer', { '/install-token': { status: 502 } }],
    [
      'fail token-cache',
      {
        '/install-token': (answer) => ({ ...answer, headers: { ...answer.headers, 'cache-control': 'max-age=60' } }),
      },
    ],
    [
      'fail token-cors',
      {
        '/install-token': (answer) => ({
          ...answer,
          headers: { ...answer.headers, 'access-control-allow-origin': '*' },
        }),
      },
    ],
    [
      'fail token-valid',
      {
        '/install-token': ({ body = '', ...answer }) => ({
          ...answer,
          body: Buffer.from(body)
            .toString()
            .replace(/"token":"eyJ/, '"token":"eyK'),
        }),
      },
    ],
    ['warn page-button', { '/trailmap': { headers: html, body: '<p>Soon</p>' } }],
    ['warn page-button', { '/trailmap': { headers: html, body: '<script>let soon</script>' } }],
    ['fail page-button', { '/trailmap': { headers: html, body: button.replace('/install', '/assets/install') } }],
    [
      'fail page-button',
      { '/trailmap': { headers: html, body: button.replace('-button>', '-button app="com.example.other">') } },
    ],
    [
      'fail page-button',
      { '/trailmap': { headers: html, body: button.replace('-button>', "-button  app='6500000009'>") } },
    ],
    ['fail page-csp', { '/trailmap': withPolicy("default-src 'none'") }],
    ['fail page-csp', { '/trailmap': withPolicy("script-src 'self'; connect-src https://api.example.com") }],
    ['fail page-csp', { '/trailmap': withPolicy("script-src https://cdn.example.net; connect-src 'self'") }],
    [
      'fail page-csp',
      {
        '/trailmap': {
          headers: html,
          body: `<meta http-equiv="Content-Security-Policy" content="connect-src 'none'">${button}`,
        },
      },
    ],
    ['fail device-cookie', { '/install-token': withCookie(() => undefined) }],
    ['warn device-cookie', { '/install-token': withCookie((cookie) => cookie.replace('; Secure', '')) }],
    ['warn device-cookie', { '/install-token': withCookie((cookie) => cookie.replace(/Max-Age=\d+/, 'Max-Age=3600')) }],
    ['warn device-cookie', { '/install-token': withCookie((cookie) => cookie.replace(/Max-Age=\d+; /, '')) }],
    ['fail device-cookie', { '/install-token': withCookie((cookie) => cookie.replace(/=[^;]+/, `=${randomUUID()}`)) }],
    ['fail service-ready', { '/health/ready': down, '/install-button.js': down, '/install-token': down }],
    ['fail service-ready', { '/health/ready': notFound, '/install-button.js': notFound, '/install-token': notFound }],
    ['fail kit-reachable', { '/.well-known/marketplace-kit': { status: 404 } }],
    ['fail kit-redirect', { '/.well-known/marketplace-kit': redirect }],
    ['fail kit-content', { '/.well-known/marketplace-kit': { headers: json, body: '{"license":{}}' } }],
    ['warn kit-content', { '/.well-known/marketplace-kit': (answer) => ({ ...answer, headers: {} }) }],
    [
      'fail kit-licences',
      {
        '/.well-known/marketplace-kit': withText(
          /ald\/renew|"licenseRenewalURL":"[^"]*"/,
          '"licenseRenewalURL":"https://old.example.com/renew"',
        ),
      },
    ],
    ['fail kit-requests', { '/marketplace-kit/restore': notFound }],
    ['fail kit-requests', { '/marketplace-kit/updates': { status: 405, headers: html, body: '' } }],
    ['fail kit-requests', { '/.well-known/marketplace-kit': withText(/"restore":"[^"]*"/, '"restore":"/restore"') }],
    ['fail oauth-document', { '/.well-known/oauth-authorization-server': notFound }],
    ['fail oauth-document', { '/.well-known/oauth-authorization-server': { headers: html, body: '<h1>Shop</h1>' } }],
    ['fail oauth-document', { '/oauth/token': notFound }],
  ];
  for (const [expected, change] of cases)
    await t.test(expected, async (t) => {
      broken = change;
      t.strictSame(await problems(), [expected]);
      broken = {};
    });

  await t.test('healthy websites of other forms', async (t) => {
    const page = 'https://example.com/trailmap';
    const under = {
      '/trailmap': { headers: html, body: button.replace('/install-button', '/webdist/install-button') },
    };
    broken = under;
    t.strictSame(await problems(page, { WEBDIST_PUBLIC_URL: 'https://example.com/webdist' }), [], 'under a path');
    const service = new URL('https://example.com/webdist/');
    const given = await runDoctor({ env, publicUrl: new URL(page), serviceUrl: service, connect });
    t.strictSame(
      given.filter(({ result }) => result === 'fail' || result === 'warn'),
      [],
      'under the path of --service',
    );
    broken = { '/health/ready': notFound };
    t.strictSame(await problems(), [], 'health is not public');
    const policy = "default-src 'none'; script-src 'self' 'nonce-abc'; connect-src 'self'; style-src 'unsafe-inline'";
    broken = { '/trailmap': withPolicy(policy) };
    t.strictSame(await problems(), [], 'a strict policy that permits it');
    broken = {
      '/trailmap': { headers: html, body: '<div id=app></div><script type=module src=/assets/app.js></script>' },
    };
    t.strictSame(await problems(), [], 'a page that a script builds');
    broken = { '/install-token': (answer) => ({ ...answer, status: 401, body: '{"code":"unauthorized"}' }) };
    t.strictSame(await problems(page, { WEBDIST_ANONYMOUS: 'none' }), [], 'only servers request tokens');
    broken = {};
  });

  await t.test('the proxies and WEBDIST_TRUST_PROXY', async (t) => {
    const on = async (trust: string, header: Readonly<Record<string, string>>) => {
      forwarded = header;
      const { result, hint } = (await finding('proxy-trusted', { WEBDIST_TRUST_PROXY: trust })) ?? {};
      return `${result}: ${hint ?? ''}`;
    };
    const visitor = { 'x-forwarded-for': '203.0.113.9' };
    const edge = { 'x-forwarded-for': '203.0.113.9, 198.51.100.7' };
    const edge6 = { 'x-forwarded-for': '2001:db8:7::9, 2001:db8:1:2::3' };
    const cases: readonly (readonly [trust: string, header: Readonly<Record<string, string>>, expected: RegExp])[] = [
      ['127.0.0.1', visitor, /^ok/],
      ['127.0.0.0/8, 198.51.100.0/24', edge, /^ok/],
      ['127.0.0.1', { 'x-forwarded-for': '127.0.0.1' }, /^ok/],
      ['192.0.2.1', { 'x-forwarded-for': '127.0.0.1' }, /^warn: Set WEBDIST_TRUST_PROXY=192\.0\.2\.1,127\.0\.0\.1,/],
      ['', visitor, /^warn: Set WEBDIST_TRUST_PROXY=127\.0\.0\.1,/],
      ['192.0.2.1', visitor, /^warn: Set WEBDIST_TRUST_PROXY=192\.0\.2\.1,127\.0\.0\.1,/],
      ['127.0.0.1', edge, /^warn: Set WEBDIST_TRUST_PROXY=127\.0\.0\.1,198\.51\.100\.7,/],
      ['127.0.0.1', edge6, /^warn: Set WEBDIST_TRUST_PROXY=127\.0\.0\.1,2001:db8:1:2::\/64,/],
      ['127.0.0.1', {}, /^warn: Configure the proxy to send it/],
    ];
    for (const [trust, header, expected] of cases) t.match(await on(trust, header), expected, `${trust} ${header}`);
    forwarded = visitor;
  });

  await t.test("the visitor's country", async (t) => {
    const cases: readonly (readonly [header: Readonly<Record<string, string>>, expected: string])[] = [
      [{ 'x-country': 'DE' }, 'ok'],
      [{ 'x-country': 'XX' }, 'info'],
      [{}, 'warn'],
    ];
    for (const [header, expected] of cases) {
      forwarded = { 'x-forwarded-for': '203.0.113.9', ...header };
      t.match(await finding('country-header', { WEBDIST_COUNTRY_HEADER: 'x-country' }), { result: expected });
    }
    forwarded = { 'x-forwarded-for': '203.0.113.9' };
  });

  await t.test('the addresses in DNS', async (t) => {
    const at = async (...addresses: string[]) => {
      const options = { env, publicUrl: new URL('https://example.com/trailmap'), connect };
      const facts = openFacts({ ...options, lookUp: async () => ({ cname: undefined, addresses }) });
      const check = checks.find(({ id }) => id === 'page-addresses');
      return check && runCheck(check, facts);
    };
    t.match(await at('127.0.0.1'), { result: 'ok', found: '127.0.0.1' });
    t.equal(await at(), undefined, 'not in DNS');
    // Nothing listens there: the server has only the first address.
    const hint = /A and AAAA records of example\.com/;
    t.match(await at('127.0.0.1', '127.0.0.2'), { result: 'warn', found: /^127\.0\.0\.2 cannot be reached/, hint });
    t.match(await at('127.0.0.1', '::1'), { result: 'warn', found: /^::1 cannot be reached/, hint });
    t.match(await at('127.0.0.2', '127.0.0.3'), { result: 'fail', found: /127\.0\.0\.3 cannot be reached/ });
  });

  await t.test('replicas', async (t) => {
    const report = (machine: string | undefined) => (answer: Answer) => {
      const { 'webdist-received': header = '', ...headers } = answer.headers ?? {};
      const changed = machine && JSON.stringify({ ...JSON.parse(header), machine });
      return { ...answer, headers: { ...headers, ...(changed && { 'webdist-received': changed }) } };
    };
    const cases: readonly (readonly [second: string | undefined, result: string, found: RegExp])[] = [
      ['one', 'ok', /one machine/],
      ['two', 'fail', /2 machines answer, each with a ledger of its own \(SQLite\)/],
      [undefined, 'fail', /2 of 4 answers are from a replica with another secret/],
    ];
    const get = '/install-token?app=com.example.trailmap';
    for (const [second, result, found] of cases) {
      broken = { '/install-token': report('one'), [get]: report(second) };
      t.match(await finding('replicas', {}), { result, found });
    }
    broken = {};
  });

  await t.test('a webhook that is not passed on', async (t) => {
    const secret = { WEBDIST_WEBHOOK_SECRET: 'a secret that App Store Connect has, too' };
    t.match(await finding('webhook', secret), { result: 'ok' });
    broken = { '/webhooks/app-store-connect': notFound };
    t.match(await finding('webhook', secret), { result: 'warn' });
    broken = {};
  });

  await t.test('the service on another host', async (t) => {
    const env2 = { ...env, WEBDIST_ALLOWED_ORIGINS: 'https://www.example.com' };
    const near = { cname: undefined, addresses: ['203.0.113.10'] };
    const far = { cname: undefined, addresses: ['198.51.100.7'] };
    const on = async (host: string, records: HostRecords, settings: Environment = env2) =>
      (
        await runDoctor({
          env: settings,
          publicUrl: new URL('https://example.com/trailmap'),
          serviceUrl: new URL(`https://${host}`),
          connect,
          lookUp: async (name) => (name === host ? records : near),
        })
      ).flatMap(({ id, result, found }) =>
        id.startsWith('cookie-') || id === 'page-origin' ? [`${result} ${id}: ${found}`] : [],
      );
    t.match(await on('get.example.com', near), [/^ok page-origin/, /^ok cookie-lifetime/]);
    t.match(await on('get.example.com', far), [
      /^ok/,
      /^warn cookie-lifetime: Safari keeps the cookie for 7 days only/,
    ]);
    t.match(await on('get.example.net', near), [/^ok/, /^warn cookie-lifetime: .*a different site/]);
    const foreign = { ...env, WEBDIST_DOMAIN: 'example.net', WEBDIST_PACKAGE_URL: 'https://example.net/adp' };
    t.match(await on('get.example.com', near, foreign), [/^fail page-origin: pages of https:\/\/example\.com/, /^ok/]);
  });

  await t.test('a service that pages of any origin may use', async (t) => {
    broken = { '/install-token': (answer) => ({ ...answer, status: 200 }) };
    const foreign = (await diagnose()).find(({ id }) => id === 'foreign-pages');
    t.match(foreign, { result: 'warn', hint: /WEBDIST_ANONYMOUS=pages/ });
    broken = {};
  });

  await t.test('the page itself', async (t) => {
    t.strictSame(await problems('https://example.com/trailmap', {}, '127.0.0.1:1'), ['fail page-reachable']);
    t.strictSame(await problems('https://example.com:8443/trailmap'), ['fail page-https', 'fail same-host']);
    t.strictSame(await problems('https://shop.example.com/trailmap'), ['fail page-certificate', 'fail same-host']);
    const elsewhere = await problems('https://example.net/trailmap');
    t.ok(elsewhere.includes('fail page-domain'));
  });

  await t.test('certificates', async (t) => {
    const another = async (made: { key: string; cert: string }) => {
      const other = createServer(made, (request, response) => void server.emit('request', request, response));
      t.teardown(() => {
        other.closeAllConnections();
        other.close();
      });
      return `127.0.0.1:${await listen(other)}`;
    };
    const unknown = await another(makeCertificate('example.com', 90));
    t.strictSame(await problems(undefined, {}, unknown), ['fail page-certificate']);
    const ending = makeCertificate('example.com', 3);
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), ending.cert]);
    t.strictSame(await problems(undefined, {}, await another(ending)), ['warn certificate-expiry']);
  });
});
