/** `webdist whoami`: prints an App Store Connect API key and what it has access to, with GETs only (docs/apple-facts.md §7). */

import type { AppStoreConnect } from '../../app-store-connect/client.ts';
import { type ErrorCode, isWebdistError, type WebdistError } from '../../errors.ts';
import { withAppStoreConnect } from '../app-store-connect.ts';
import { type JsonOption, print, table } from '../terminal.ts';

type Probe = { readonly what: string; readonly count: number | undefined; readonly problem: WebdistError | undefined };

const probes: Readonly<Record<string, (asc: AppStoreConnect) => Promise<readonly unknown[]>>> = {
  apps: (asc) => asc.listApps(),
  'alternative distribution keys': (asc) => asc.listKeys(),
  'alternative distribution domains': (asc) => asc.listDomains(),
};

/** After one of these errors, every further request would fail too. */
const fatal: readonly ErrorCode[] = ['asc_credentials', 'asc_clock', 'asc_outage', 'asc_rate'];

export async function whoami({ json }: JsonOption): Promise<void> {
  await withAppStoreConnect('Querying App Store Connect', async (asc, { baseUrl, keyId, issuerId }) => {
    const results: Probe[] = [];
    for (const [what, probe] of Object.entries(probes)) results.push(await tryProbe(what, () => probe(asc)));
    const [first] = results;
    if (first?.problem && results.every(({ problem }) => problem)) throw first.problem;
    const { rateLimit, clockOffsetSeconds } = asc;
    const kind = issuerId ? 'team' : 'individual';
    const reach = results.map(({ what, count, problem }) => ({
      what,
      reachable: problem === undefined,
      count: count ?? null,
      code: problem?.code ?? null,
    }));
    const data = { keyId, kind, issuerId: issuerId ?? null, baseUrl, clockOffsetSeconds, rateLimit, reach };
    print(data, json, [
      `key id  ${keyId}`,
      `kind    ${kind}${issuerId ? ` (issuer ${issuerId})` : ' (with the rights of its user)'}`,
      `API     ${baseUrl}`,
      `clock   ${clockOffsetSeconds ?? 0} s from Apple's`,
      ...(rateLimit ? [`limit   ${rateLimit.remaining} of ${rateLimit.limit} requests left in this hour`] : []),
      '',
      ...table(
        ['ACCESS TO', '', 'COUNT'],
        results.map(({ what, count, problem }) => [
          what,
          problem ? `no: ${problem.message}` : 'yes',
          count?.toString(),
        ]),
      ),
    ]);
  });
}

async function tryProbe(what: string, probe: () => Promise<readonly unknown[]>): Promise<Probe> {
  try {
    return { what, count: (await probe()).length, problem: undefined };
  } catch (error) {
    if (!isWebdistError(error) || fatal.includes(error.code)) throw error;
    return { what, count: undefined, problem: error };
  }
}
