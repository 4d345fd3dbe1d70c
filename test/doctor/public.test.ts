/** The public checks, against a website with https and the service behind it: correct, and with each fault that they detect. */

import { spawnSync } from 'node:child_process';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import t from 'tap';
import { runDoctor } from '../../src/doctor/doctor.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { startLicenceServer } from '../harness/licence.ts';
import { listen } from '../harness/port.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

/** A certificate for a name, valid for some days from now. */
function certificate(name: string, days: number): { key: string; cert: string } {
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '-', '-out', '-'];
  const names = ['-subj', `/CN=${name} ${days}`, '-addext', `subjectAltName=DNS:${name}`, '-days', String(days)];
  const { stdout } = spawnSync('openssl', ['req', '-x509', ...options, ...names], { encoding: 'utf8' });
  const cert = stdout.slice(stdout.indexOf('-----BEGIN CERTIFICATE'));
  return { key: stdout.slice(0, stdout.length - cert.length), cert };
}

type Answer = { status?: number; headers?: Record<string, string>; body?: string | Uint8Array };

t.test('public checks', async (t) => {
  const sandbox = await startSandbox(t);
  const dataDir = temporaryFolder(t);
  const service = await startReady(t, sandbox, { WEBDIST_DATA_DIR: dataDir });
  await until(() => service.log.events('domain_registered').length, 'the domain');
  const licence = await startLicenceServer(t);
  const env: Record<string, string> = { ...sandbox.settings, ...licence.settings, WEBDIST_DATA_DIR: dataDir };
  const manifest = await (await fetch(env['WEBDIST_PACKAGE_MANIFEST'] ?? '')).text();
  const { assetPath } = (JSON.parse(manifest) as { variants: [{ assetPath: string }] }).variants[0];
  const json = { 'content-type': 'application/json' };
  const adp = '/adp/6500000001';
  const site: Readonly<Record<string, Answer>> = {
    '/trailmap': { headers: { 'content-type': 'text/html' }, body: '<install-button>' },
    [`${adp}/manifest.json`]: { headers: json, body: manifest },
    [`${adp}/signature`]: { body: 'signature' },
    [`${adp}/${assetPath}`]: { body: 'ipa' },
    '/.well-known/marketplace-kit': {
      headers: json,
      body: JSON.stringify({
        license: {},
        restore: 'https://example.com/marketplace-kit/restore',
        updates: { url: 'https://example.com/marketplace-kit/updates', pollingInterval: 24 },
      }),
    },
  };
  let broken: Readonly<Record<string, Answer | ((answer: Answer) => Answer)>> = {};

  const fromService = async (request: IncomingMessage): Promise<Answer> => {
    const body = request.method === 'POST' ? await text(request) : undefined;
    const { origin, 'content-type': type } = request.headers;
    const answer = await fetch(`${service.url}${request.url}`, {
      method: request.method ?? 'GET',
      headers: { ...(origin && { origin }), ...(type && { 'content-type': type }) },
      ...(body !== undefined && { body }),
    });
    const headers = Object.fromEntries(answer.headers);
    delete headers['content-length'];
    return { status: answer.status, headers, body: Buffer.from(await answer.arrayBuffer()) };
  };
  const good = certificate('example.com', 90);
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
    ['fail kit-reachable', { '/.well-known/marketplace-kit': { status: 404 } }],
    ['fail kit-redirect', { '/.well-known/marketplace-kit': redirect }],
    ['fail kit-content', { '/.well-known/marketplace-kit': { headers: json, body: '{"license":{}}' } }],
    ['warn kit-content', { '/.well-known/marketplace-kit': { ...site['/.well-known/marketplace-kit'], headers: {} } }],
  ];
  for (const [expected, change] of cases)
    await t.test(expected, async (t) => {
      broken = change;
      t.strictSame(await problems(), [expected]);
      broken = {};
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
    const unknown = await another(certificate('example.com', 90));
    t.strictSame(await problems(undefined, {}, unknown), ['fail page-certificate']);
    const ending = certificate('example.com', 3);
    tls.setDefaultCACertificates([...tls.getCACertificates('default'), ending.cert]);
    t.strictSame(await problems(undefined, {}, await another(ending)), ['warn certificate-expiry']);
  });
});
