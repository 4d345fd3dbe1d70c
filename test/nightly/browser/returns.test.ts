/**
 * Whether a device that returns within 30 days is recognised, in three engines, with the service where docs/proxy.md puts
 * it.
 *
 * Real are: nginx with the documented configuration, TLS, the addresses of the hosts, the engines with their storage of
 * cookies, and their clocks, which test/harness/days.c moves while they run. Modelled is the rule by which Safari
 * shortens the life of a cookie (docs/apple-facts.md §13.2), because only Apple's builds of WebKit have it: where it
 * applies, the browser gets the cookie with seven days as its `Max-Age`.
 */

import tls from 'node:tls';
import t, { type Test } from 'tap';
import { runDoctor } from '../../../src/doctor/doctor.ts';
import { claimsIn, openSite, openStage, type Site } from '../../harness/browser.ts';
import { makeCertificate } from '../../harness/certificates.ts';
import { noDays, openDays } from '../../harness/days.ts';
import { type Engine, engines } from '../../harness/engines.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { documentedProxy, noNginx, openProxy, startNginx } from '../../harness/nginx.ts';
import { until } from '../../harness/until.ts';
import { linkIn, reach, tap, visitedPage } from '../../harness/visit.ts';

const PAGE = 'example.com';
const certificate = makeCertificate(PAGE, 90, 'install.example.com');
if (certificate.cert !== '') tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate.cert]);

/** No two visits are exactly seven days apart, the capped lifetime of a cookie. */
const VISITS = [0, 3, 6, 14, 29];
const PAGE_ADDRESS = '127.0.0.1';

type Place = {
  readonly name: string;
  readonly service: string;
  /** The address of the service's host. */
  readonly address: string;
  /** The `dtype` on each visit. */
  readonly expected: readonly string[];
  /** What the doctor's check `cookie-lifetime` reports. */
  readonly doctor: RegExp;
};
const recognised = ['download', ...Array(4).fill('redownload')];

const places: readonly Place[] = [
  {
    name: 'a path of the page’s host',
    service: `https://${PAGE}/webdist`,
    address: PAGE_ADDRESS,
    expected: recognised,
    doctor: /^ok the service is on the host of the page/,
  },
  {
    name: 'another host, in the network of the page',
    service: 'https://install.example.com',
    address: '127.0.0.2',
    expected: recognised,
    doctor: /^ok install\.example\.com resolves like example\.com/,
  },
  {
    name: 'another host, in another network',
    service: 'https://install.example.com',
    address: '127.1.0.1',
    expected: ['download', 'redownload', 'redownload', 'download', 'download'],
    doctor: /^warn Safari keeps the cookie for 7 days only: .* in a different network .* count as first installs/,
  },
];

/** Safari's cap, in an answer of a host that has a different address than the page. */
function capped(cookie: string, address: string): string {
  const network = (one: string) => one.split('.').slice(0, 2).join('.');
  return network(address) === network(PAGE_ADDRESS)
    ? cookie
    : cookie.replace(/Max-Age=(\d+)/, (_, seconds) => `Max-Age=${Math.min(Number(seconds), 7 * 86_400)}`);
}

/** A website with the button, the service in its place, and the tunnels to both. */
async function openPlace(t: Test, { service, address }: Place, now: () => number) {
  const settings = { WEBDIST_PUBLIC_URL: service, WEBDIST_TRUST_PROXY: '127.0.0.1', WEBDIST_RATE_LIMIT: '1000' };
  const stage = await openStage(t, settings, now);
  const head = `<script type="module" src="${service}/install-button.js"></script>`;
  const site = await openSite(t, stage.service, { '/': visitedPage('<install-button></install-button>', { head }) });
  const addresses: Record<string, string> = { 'install.example.com': address, [PAGE]: PAGE_ADDRESS };
  site.passCookie = (cookie, host) => capped(cookie, addresses[host] ?? '');
  const nginx = await startNginx(
    certificate,
    (listen) => `
    server { ${listen} server_name ${PAGE}; ${documentedProxy('nginx', site.origin)}
      location / { proxy_pass ${site.origin}; proxy_set_header Host $host; } }
    server { ${listen.replace(PAGE_ADDRESS, address)} server_name install.example.com;
      location / { proxy_pass ${site.origin}; proxy_set_header Host $host; } }`,
  );
  t.teardown(nginx.close);
  const proxyPort = await openProxy(t, nginx.port, addresses);

  const diagnose = async () => {
    const diagnosis = await runDoctor({
      env: { ...stage.sandbox.settings, ...settings, WEBDIST_DATA_DIR: temporaryFolder(t) },
      publicUrl: new URL(`https://${PAGE}/`),
      serviceUrl: new URL(service),
      connect: `${PAGE_ADDRESS}:${nginx.port}`,
      lookUp: async (host) => ({ cname: undefined, addresses: [addresses[host] ?? ''] }),
    });
    const { result, found, hint } = diagnosis.find(({ id }) => id === 'cookie-lifetime') ?? {};
    return `${result} ${found} ${hint}`;
  };
  return { site, proxyPort, diagnose };
}

const reportsIn = ({ answered }: Site) => answered.filter((one) => one === 'POST /installs 204').length;

async function returns(t: Test, engine: Engine, place: Place): Promise<void> {
  const days = openDays(t);
  const { site, proxyPort, diagnose } = await openPlace(t, place, days.now);
  const tab = await engine.open(t, { proxyPort, env: days.env });
  const found: string[] = [];
  for (const day of VISITS) {
    days.moveTo(day);
    await tab.goto(`https://${PAGE}/`);
    await reach(tab, 'ready');
    t.ok(Math.abs((await tab.run(() => Date.now())) - days.now()) < 60_000, `the browser’s clock on day ${day}`);
    const link = await linkIn(tab);
    found.push(claimsIn(link).dtype);
    const reports = reportsIn(site);
    await tap(tab, 'link');
    await until(() => reportsIn(site) > reports, 'the report of the tap');
    await until(async () => ![null, link].includes(await linkIn(tab)), 'another link');
  }
  t.strictSame(found, place.expected, `days ${VISITS.join(', ')}`);
  t.match(await diagnose(), place.doctor);
}

for (const engine of engines)
  t.test(engine.name, { skip: engine.skip || noNginx || noDays }, async (t) => {
    for (const place of places) await t.test(place.name, (t) => returns(t, engine, place));
  });
