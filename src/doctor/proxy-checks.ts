/**
 * Checks the proxies before webdist: whether it gets the visitor's address and country from them, and to which replicas
 * they pass requests on. A running service reports
 * how a request of the doctor reached it, if both have the same ledger's secret (service/doctor-proof.ts).
 */

import { z } from 'zod';
import { addressesBehind, proxiesIn } from '../address.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import { RECEIVED_HEADER } from '../service/doctor-proof.ts';
import { type Check, type Finding, fail, info, ok, warn } from './check.ts';
import { claimsOf, isOwn, requestToken, type Site, sampleOf, siteCheck } from './site.ts';
import type { WebAnswer } from './web.ts';

const receivedForm = z.object({
  peer: z.string(),
  forwarded: z.string().optional(),
  country: z.string().optional(),
  machine: z.string().optional(),
});

/** How a request of the doctor reached the service; undefined if the service does not report it. */
function reportIn(answer: WebAnswer) {
  const header = answer.headers[RECEIVED_HEADER];
  try {
    return receivedForm.safeParse(JSON.parse(String(header))).data;
  } catch {
    // An older service, or one with another secret, sends no such header.
    return undefined;
  }
}

const receivedBy = async (site: Site) => reportIn(await requestToken(site));

export const proxyChecks: readonly Check[] = [
  siteCheck('replicas', 'A device must be known to every replica.', replicasOf),
  siteCheck(
    'proxy-trusted',
    'If the proxy is not trusted, all visitors share its address and one rate limit.',
    trusted,
  ),
  siteCheck('country-header', "Without the visitor's country, tokens have no `ccode`.", async (site) => {
    const { countryHeader } = site.config;
    const received = await receivedBy(site);
    if (countryHeader === undefined || !received || (await trusted(site))?.result !== 'ok') return undefined;
    const { ccode } = claimsOf(await requestToken(site));
    if (typeof ccode === 'string') return ok(ccode);
    return received.country === undefined
      ? warn(
          `requests reach webdist without ${countryHeader}`,
          'Configure the proxy to send this header, or unset WEBDIST_COUNTRY_HEADER.',
        )
      : info(`${countryHeader} has no country for this machine`);
  }),
];

/** Whether the replicas that answer know the devices of each other; undefined if none reports to this doctor. */
export async function replicasOf(site: Site): Promise<Finding | undefined> {
  const reports = (await sampleOf(site)).filter(isOwn).map(reportIn);
  const strangers = reports.filter((report) => report === undefined).length;
  if (strangers === reports.length) return undefined;
  if (strangers > 0)
    return fail(
      `${strangers} of ${reports.length} answers are from a replica with another secret of the ledger`,
      'Give every replica the same WEBDIST_LEDGER_SECRET and the same version of webdist, and restart them.',
    );
  const machines = new Set(reports.map((report) => report?.machine)).size;
  const backend = ledgerBackend(site.config.ledger.url);
  return machines > 1 && !backend.isShared
    ? fail(
        `${machines} machines answer, each with a ledger of its own (${backend.name})`,
        'Run one replica, or set WEBDIST_LEDGER to a PostgreSQL database that all replicas share.',
      )
    : ok(machines > 1 ? `${machines} machines with one ledger` : 'one machine answers');
}

async function trusted(site: Site): Promise<Finding | undefined> {
  const { trustProxy } = site.config;
  // webdist itself does not terminate TLS.
  if (site.urlOf('/').protocol !== 'https:') return undefined;
  const received = await receivedBy(site);
  const setting = `WEBDIST_TRUST_PROXY=${trustProxy.join(',')}`;
  if (!received)
    return trustProxy.length > 0
      ? ok(setting)
      : warn(
          'a proxy terminates TLS, but WEBDIST_TRUST_PROXY is not set',
          'Set WEBDIST_TRUST_PROXY to the address of the proxy, as webdist sees it.',
        );
  if (received.forwarded === undefined)
    return warn(
      `the proxy at ${received.peer} sends no X-Forwarded-For`,
      'Configure the proxy to send it (docs/proxy.md), and name the proxy in WEBDIST_TRUST_PROXY.',
    );
  const proxy = unnamedProxy(received.peer, received.forwarded, trustProxy);
  if (proxy === undefined) return ok(setting);
  return warn(
    trustProxy.length === 0
      ? `a proxy at ${proxy} is in front of webdist, but WEBDIST_TRUST_PROXY is not set`
      : `webdist takes the proxy at ${proxy} for the visitor, because ${setting} does not name it`,
    `Set WEBDIST_TRUST_PROXY=${[...trustProxy, proxy].join(',')}, and restart webdist.`,
  );
}

/** The proxy that webdist would take for the visitor; undefined if all proxies on the way are named. */
function unnamedProxy(peer: string, forwarded: string, named: readonly string[]): string | undefined {
  const plain = peer.replace(/^::ffff:(?=\d+\.)/, '');
  if (!proxiesIn(named)(peer)) return plain;
  const seenWith = (text: string, proxies: readonly string[]) =>
    addressesBehind(proxies)({ socket: { remoteAddress: peer }, headers: { 'x-forwarded-for': text } });
  // The doctor sends no X-Forwarded-For, so the first address is its own, and all others are of proxies.
  const [own = ''] = forwarded.split(',');
  const seen = seenWith(forwarded, named);
  if (seen === seenWith(own, [plain])) return undefined;
  return seen.includes(':') ? `${seen}::/64` : seen;
}
