/**
 * Correct installations of three kinds, complete: the service ran, its key and domain are registered, and nginx serves
 * the page, the package and the service with TLS at example.com.
 */

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';
import type { Test } from 'tap';
import { type Diagnosis, runDoctor } from '../../../src/doctor/doctor.ts';
import type { Environment } from '../../../src/environment.ts';
import type { Sandbox } from '../../../src/sandbox/sandbox.ts';
import { makeCertificate } from '../../harness/certificates.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { type LicenceServer, startLicenceServer } from '../../harness/licence.ts';
import { startNginx } from '../../harness/nginx.ts';
import { freePort } from '../../harness/port.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { startReady } from '../../harness/service.ts';
import { hasDomain } from '../../harness/website.ts';

/** What a test changes in the web server. */
type WebServer = {
  /** Directives in the location of that part. */
  readonly [part in 'page' | 'package' | 'service' | 'kit' | 'oauth' | 'http']?: string;
} & {
  readonly certificate?: { readonly key: string; readonly cert: string };
  readonly html?: string;
  /** Where it passes the service's requests on to instead: an upstream in `http`. */
  readonly upstream?: string;
  /** What it sends as X-Forwarded-For and X-Country. */
  readonly forwarded?: string;
  readonly country?: string;
};

/** What a test changes: settings, and the web server. */
type Change = { readonly settings?: Environment; readonly site?: WebServer; readonly page?: string };

export type Setup = {
  readonly env: Record<string, string>;
  readonly sandbox: Sandbox;
  readonly licence: LicenceServer;
  readonly folder: string;
  /** The address of the service. */
  readonly url: string;
  /** The warnings and failures of all checks, private and public, after a change. */
  diagnose(change?: Change): Promise<readonly Diagnosis[]>;
};

/**
 * A fault, the one finding expected for it, and a function that plants it if it is neither a setting nor in the web
 * server.
 */
export type Fault = Change & {
  readonly id: string;
  readonly says: RegExp;
  /** What the fix says; by default anything. */
  readonly fix?: RegExp;
  /** The checks that may find a consequence of the fault as well. */
  readonly also?: readonly string[];
  /** Returns a function that ends the fault. */
  readonly plant?: () => Promise<() => unknown>;
};

/** Plants one fault after the other; each must be named by its check, and by no other. */
export async function namesEach(t: Test, setup: Setup, faults: Readonly<Record<string, Fault>>): Promise<void> {
  let named = 0;
  for (const [fault, { id, says, fix = /\w/, also = [], plant, ...change }] of Object.entries(faults))
    await t.test(fault, async (t) => {
      const end = await plant?.();
      const found = await setup.diagnose(change);
      await end?.();
      const [first, ...others] = found.filter((one) => !also.includes(one.id));
      const isNamed = t.match(first, { id, found: says, hint: fix }, JSON.stringify(first));
      if (isNamed && t.strictSame(others, [], 'one cause is one finding')) named++;
    });
  // tap shows what a test writes there.
  process.stderr.write(`${named} of ${Object.keys(faults).length} planted faults are named\n`);
}

const PAGE = 'https://example.com/trailmap';

/** `path` is where the web server has the service: `/`, or a path such as `/webdist/`. */
export async function startSetup(t: Test, settings: Record<string, string>, path = '/'): Promise<Setup> {
  const sandbox = await startSandbox(t);
  const folder = temporaryFolder(t);
  const licence = await startLicenceServer(t);
  const own = {
    WEBDIST_DATA_DIR: join(folder, 'data'),
    WEBDIST_TRUST_PROXY: '127.0.0.1',
    WEBDIST_COUNTRY_HEADER: 'x-country',
    WEBDIST_WEBHOOK_SECRET: 'the secret of a webhook, long enough',
    ...(path !== '/' && { WEBDIST_PUBLIC_URL: `https://example.com${path.slice(0, -1)}` }),
    ...licence.settings,
    ...settings,
  };
  const { url } = await startReady(t, sandbox, own);
  await hasDomain(sandbox);
  const certificate = makeCertificate('example.com', 90);
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate.cert]);
  const root = temporaryFolder(t);
  chmodSync(root, 0o755); // nginx's workers run as nobody
  const button = `<script type="module" src="${path}install-button.js"></script><install-button></install-button>`;
  const packages = `${sandbox.baseUrl}/_sandbox/packages/`;
  const env = { ...sandbox.settings, ...own, PORT: String(await freePort()) };
  return {
    env,
    sandbox,
    licence,
    folder,
    url,
    async diagnose({ settings, site = {}, page = PAGE } = {}) {
      writeFileSync(join(root, 'trailmap'), site.html ?? button);
      const nginx = await startNginx(site.certificate ?? certificate, (listen) =>
        serversOf(listen, { root, path, packages, url }, site),
      );
      try {
        const connect = `127.0.0.1:${nginx.port}`;
        const found = await runDoctor({ env: { ...env, ...settings }, publicUrl: new URL(page), connect });
        return found.filter(({ result }) => result === 'warn' || result === 'fail');
      } finally {
        await nginx.close();
      }
    },
  };
}

type Places = { readonly root: string; readonly path: string; readonly packages: string; readonly url: string };

/** The configuration of docs/proxy.md, with the changes at the end of each location. */
function serversOf(listen: string, { root, path, packages, url }: Places, site: WebServer): string {
  const pass = `proxy_http_version 1.1; proxy_set_header Host $host;
    proxy_set_header X-Forwarded-For ${site.forwarded ?? '$remote_addr'};
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;
    proxy_set_header X-Country ${site.country ?? 'DE'};`;
  return `${site.http ?? ''}
  server { ${listen} server_name example.com; root ${root};
    location = /trailmap { default_type text/html; ${site.page ?? ''} }
    location /adp/ { proxy_pass ${packages}; ${site.package ?? ''} }
    location ${path} { proxy_pass ${site.upstream ?? url}/; ${pass} ${site.service ?? ''} }
    location = /.well-known/marketplace-kit { proxy_pass ${url}; ${pass} ${site.kit ?? ''} }
    location = /.well-known/oauth-authorization-server { proxy_pass ${url}; ${pass} ${site.oauth ?? ''} } }`;
}
