/** Faults of websites, CDNs and deployments, planted one at a time: the doctor names each one, and only it. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import t from 'tap';
import { makeCertificate } from '../../harness/certificates.ts';
import { noNginx } from '../../harness/nginx.ts';
import { type Fault, namesEach, startSetup } from './setup.ts';

t.test('planted faults', { skip: noNginx, timeout: 300_000 }, async (t) => {
  const setup = await startSetup(t, {}, '/webdist/');
  const { env, folder, sandbox } = setup;
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
      says: /another name/,
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
      settings: {},
    },
  };
  void [execFileSync, writeFileSync, join, tls, env, folder, sandbox];
  await namesEach(t, setup, faults);
});
