/** What holds for several replicas behind a load balancer, however they were started. */

import type { Test } from 'tap';
import { post } from './service.ts';

export const TOKEN_LIFETIME_SECONDS = 60;
const LIMIT = 100;
/** 5 % of the limit. */
const TOLERANCE = 5;

/** Settings every replica needs for `sharedAsOne`. */
export const replicaSettings = {
  WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
  WEBDIST_TOKEN_LIFETIME: `${TOKEN_LIFETIME_SECONDS}`,
  WEBDIST_RATE_LIMIT: `${LIMIT}`,
  WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
  WEBDIST_ANONYMOUS: 'any',
};

/** One visitor asks, many times at once, through the load balancer at `url`. */
export async function sharedAsOne(test: Pick<Test, 'equal' | 'ok' | 'strictSame'>, url: string): Promise<void> {
  // The very first statements of a replica also open its connections; a rush of them may take longer than a token waits.
  for (let index = 0; index < 6; index++) await post(`${url}/install-token`, {});
  const first = await post(`${url}/install-token`, {});
  const cookie = first.cookie ?? '';
  const ask = () => post(`${url}/install-token`, {}, { cookie });
  const atOnce = await Promise.all(Array.from({ length: 60 }, ask));
  test.strictSame([...new Set(atOnce.map(({ body }) => body['dtype']))], ['download'], 'looking never turns it');
  const taps = await Promise.all(
    atOnce.slice(0, 10).map(({ body }) => post(`${url}/installs`, { nonce: body['nonce'] }, { cookie })),
  );
  test.strictSame([...new Set(taps.map(({ status }) => status))], [204], 'ten taps at once are one install');
  test.equal((await ask()).body['dtype'], 'download', 'in the window it is still the first');

  const visitor = (await post(`${url}/install-token`, {})).cookie ?? '';
  const flood = await Promise.all(
    Array.from({ length: 3 * LIMIT }, () => post(`${url}/install-token`, {}, { cookie: visitor })),
  );
  const allowed = flood.filter(({ status }) => status === 200).length;
  const limited = flood.filter(({ status }) => status === 429).length;
  test.equal(allowed + limited, flood.length, 'nothing but 200 and 429');
  test.ok(Math.abs(allowed - LIMIT) <= TOLERANCE, `${allowed} of ${flood.length} were allowed; the limit is ${LIMIT}`);
}
