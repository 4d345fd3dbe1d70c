/** Tests that apply to several replicas behind a load balancer, independent of how they were started. */

import { isDeepStrictEqual } from 'node:util';
import type { Test } from 'tap';
import { post } from './http.ts';

export const TOKEN_LIFETIME_SECONDS = 60;
const LIMIT = 100;
/** 5 % of the limit. */
const TOLERANCE = 5;

/** The settings that every replica needs for `sharedAsOne`. */
export const replicaSettings = {
  WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
  WEBDIST_TOKEN_LIFETIME: `${TOKEN_LIFETIME_SECONDS}`,
  WEBDIST_RATE_LIMIT: `${LIMIT}`,
  WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
  WEBDIST_ANONYMOUS: 'any',
};

/** One visitor sends many requests at once through the load balancer at `url`. */
export async function sharedAsOne(test: Pick<Test, 'equal' | 'ok' | 'strictSame'>, url: string): Promise<void> {
  // The first statements of a replica also open its connections, and many at once may take longer than a request waits.
  for (let index = 0; index < 6; index++) await post(`${url}/install-token`, {});
  const looked = await untilSame(() => lookAndTap(url), { looks: ['download'], taps: [204], after: 'download' });
  test.strictSame(looked.looks, ['download'], 'looking never turns it');
  test.strictSame(looked.taps, [204], 'ten taps at once are one install');
  test.equal(looked.after, 'download', 'in the window it is still the first');

  const { allowed, isNear, others } = await untilSame(() => flood(url), { isNear: true, others: 0 });
  test.equal(others, 0, 'nothing but 200 and 429');
  test.ok(isNear, `${allowed} of ${3 * LIMIT} were allowed; the limit is ${LIMIT}`);
}

/** A new visitor sends sixty requests at once, reports ten taps, and requests another token. */
async function lookAndTap(url: string) {
  const cookie = await newVisitor(url);
  const ask = () => post(`${url}/install-token`, {}, { cookie });
  const atOnce = await Promise.all(Array.from({ length: 60 }, ask));
  const taps = await Promise.all(
    atOnce.slice(0, 10).map(({ body }) => post(`${url}/installs`, { nonce: body['nonce'] }, { cookie })),
  );
  return {
    looks: [...new Set(atOnce.map(({ body }) => body['dtype']))],
    taps: [...new Set(taps.map(({ status }) => status))],
    after: (await ask()).body['dtype'],
  };
}

/**
 * A new visitor sends three times as many requests as it may; `others` were neither answered with a token nor with 429.
 */
async function flood(url: string) {
  const cookie = await newVisitor(url);
  const answers = await Promise.all(
    Array.from({ length: 3 * LIMIT }, () => post(`${url}/install-token`, {}, { cookie })),
  );
  const allowed = answers.filter(({ status }) => status === 200).length;
  const limited = answers.filter(({ status }) => status === 429).length;
  return { allowed, isNear: Math.abs(allowed - LIMIT) <= TOLERANCE, others: answers.length - allowed - limited };
}

const newVisitor = async (url: string) => (await post(`${url}/install-token`, {})).cookie ?? '';

const ATTEMPTS = 10;

/** Retries until the outcome is as expected, because on a busy machine the ledger and Redis miss their time limits. */
async function untilSame<T extends object>(attempt: () => Promise<T>, wanted: Partial<Record<keyof T, unknown>>) {
  for (let count = 1; ; count++) {
    const outcome = await attempt();
    if (count === ATTEMPTS || isDeepStrictEqual({ ...outcome, ...wanted }, outcome)) return outcome;
  }
}
