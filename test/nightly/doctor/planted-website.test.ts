/** Faults of websites, CDNs and deployments, planted one at a time: the doctor names each one, and only it. */

import { createServer } from 'node:http';
import tls from 'node:tls';
import t from 'tap';
import { control } from '../../harness/apple-client.ts';
import { makeCertificate } from '../../harness/certificates.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { noNginx } from '../../harness/nginx.ts';
import { listen } from '../../harness/port.ts';
import { endFaults, setFault } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';
import { type Fault, namesEach, startSetup } from './setup.ts';

t.test('planted faults', { skip: noNginx, timeout: 300_000 }, async (t) => {
  const setup = await startSetup(t, {}, '/webdist/');
  const { env, sandbox, url } = setup;
  await t.test('nothing is found before a fault is planted', async (t) => t.strictSame(await setup.diagnose(), []));
  for (const [name, settings] of Object.entries({
    'the time zone does not matter': { TZ: 'Asia/Kolkata' },
    'nor a slash at the end of the URL': { WEBDIST_PUBLIC_URL: 'https://example.com/webdist/' },
    'nor capitals in a host': { WEBDIST_PUBLIC_URL: 'https://EXAMPLE.com/webdist', WEBDIST_DOMAIN: 'Example.COM' },
  }))
    await t.test(name, async (t) => t.strictSame(await setup.diagnose({ settings }), []));

  const html = '<!doctype html><title>Shop</title><div id="app"></div>';
  const page = (status: number) => `types { } default_type text/html; return ${status} '${html}';`;
  const challenge = `add_header cf-mitigated challenge always; ${page(403)}`;
  const ended = makeCertificate('example.com', -1);
  const www = makeCertificate('www.example.com', 92);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), ended.cert, www.cert]);
  const { body: theirs } = await control(sandbox, 'POST', 'apps', { bundleId: 'com.example.theirs', team: 'other' });
  const theirKey = Object.fromEntries(
    Object.entries<string>(theirs.settings).filter(([name]) => name.startsWith('ASC_')),
  );
  // Another replica of the service, with a data folder and so a secret of its own.
  const second = await startReady(t, sandbox, { ...env, WEBDIST_DATA_DIR: temporaryFolder(t), PORT: '0' });
  const removed = createServer(async ({ url, headers, method }, response) => {
    const answer = await fetch(`${sandbox.baseUrl}${url}`, {
      method: method ?? 'GET',
      headers: { authorization: headers.authorization ?? '' },
    });
    const text = (await answer.text()).replaceAll(/READY_FOR_(SALE|DISTRIBUTION)/g, 'REMOVED_FROM_SALE');
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
  });
  t.teardown(() => void removed.close());
  const afterRemoval = `http://127.0.0.1:${await listen(removed)}`;
  const deadLicences = Object.keys(setup.licence.settings).map((name) => [name, `https://127.0.0.1:1/${name}`]);

  const faults: Readonly<Record<string, Fault>> = {
    'an expired certificate': {
      id: 'page-certificate',
      says: /expired/,
      fix: /[Rr]enew/,
      site: { certificate: ended },
    },
    'a certificate of an unknown authority': {
      id: 'page-certificate',
      says: /authority/,
      fix: /chain/,
      site: { certificate: makeCertificate('example.com', 91) },
    },
    'a certificate for www only': {
      id: 'page-certificate',
      says: /a different name/,
      fix: /example\.com/,
      site: { certificate: www },
    },
    'a page that redirects to www': {
      id: 'page-redirect',
      says: /www/,
      site: { page: 'return 301 https://www.example.com/trailmap;' },
    },
    'a page behind a challenge of the CDN': {
      id: 'page-reachable',
      says: /challenge/,
      fix: /CDN|firewall/,
      site: { page: challenge.replace(/.*default_type text\/html;/, 'add_header cf-mitigated challenge always;') },
    },
    'tokens behind a challenge of the CDN': {
      id: 'token-answer',
      says: /challenge/,
      fix: /CDN|firewall/,
      site: {
        service: `if ($request_method = POST) { return 403 '${html}'; } add_header cf-mitigated challenge always;`,
      },
    },
    'a redirect that turns POST into GET': {
      id: 'token-answer',
      says: /redirects to .*install-token/,
      fix: /redirect/,
      site: { service: 'if ($request_method = POST) { return 301 https://www.example.com$request_uri; }' },
    },
    'a page for every request for a token': {
      id: 'token-answer',
      says: /HTML|page/,
      site: { service: `default_type text/html; if ($request_method = POST) { return 200 '${html}'; }` },
    },
    'a page instead of the manifest': {
      id: 'package-public',
      says: /HTML|page/,
      fix: /Upload/,
      site: { package: page(200) },
    },
    'a challenge before the package': {
      id: 'package-public',
      says: /challenge/,
      fix: /CDN|firewall/,
      site: { package: challenge },
    },
    'a page instead of the document for devices': {
      id: 'kit-content',
      says: /HTML|page/,
      fix: /[Rr]oute/,
      site: { kit: page(200) },
    },
    'a challenge before the document for devices': {
      id: 'kit-reachable',
      says: /challenge/,
      fix: /CDN|firewall/,
      site: { kit: challenge },
    },
    'a document for devices that redirects to www': {
      id: 'kit-redirect',
      says: /www/,
      site: { kit: 'return 308 https://www.example.com$request_uri;' },
    },
    'a button that is loaded with http': {
      id: 'page-button',
      says: /http:/,
      fix: /https|src=/,
      site: { html: '<script type=module src=http://example.com/webdist/install-button.js></script><install-button>' },
    },
    'an http public URL': {
      id: 'settings',
      says: /WEBDIST_PUBLIC_URL: .*https/,
      settings: { WEBDIST_PUBLIC_URL: 'http://example.com/webdist' },
    },
    'a port in the domain': {
      id: 'settings',
      says: /WEBDIST_DOMAIN: .*port/,
      settings: { WEBDIST_DOMAIN: 'example.com:443' },
    },
    'a domain in its own script': {
      id: 'settings',
      says: /WEBDIST_DOMAIN: .*A-labels/,
      settings: { WEBDIST_DOMAIN: 'bücher.example' },
    },
    'the API key of another team': {
      id: 'app-found',
      says: /no app/,
      fix: /account/,
      settings: theirKey,
    },
    'an app that is removed from sale': {
      id: 'app-version',
      says: /REMOVED_FROM_SALE/,
      fix: /availability/,
      settings: { ASC_BASE_URL: afterRemoval },
    },
    'an account that is not approved for distribution on the web': {
      id: 'api-role',
      says: /403/,
      fix: /approved for alternative distribution/,
      plant: async () => {
        await setFault(sandbox, { path: '/v1/alternativeDistributionDomains', status: 403 });
        return () => endFaults(sandbox);
      },
    },
    'a licence server whose host does not answer': {
      id: 'licence-endpoints',
      says: /^https:\/\/127\.0\.0\.1:1 cannot be reached: [^;]+$/,
      // The running service has other settings.
      also: ['kit-licences'],
      settings: Object.fromEntries(deadLicences),
    },
    'replicas with different secrets': {
      id: 'replicas',
      says: /another secret/,
      fix: /WEBDIST_LEDGER_SECRET/,
      site: {
        http: `upstream both { server ${new URL(url).host}; server ${new URL(second.url).host}; }`,
        upstream: 'http://both',
      },
    },
  };
  await namesEach(t, setup, faults);
});
