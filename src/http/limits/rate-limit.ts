/**
 * How often one visitor and one address may ask (contract §3), by @fastify/rate-limit, with `Retry-After` and the
 * RateLimit header fields of draft-ietf-httpapi-ratelimit-headers-10. Counted in Redis for all replicas when there is
 * one; while it does not answer, here.
 */

import { createRequire } from 'node:module';
import { isIPv4 } from 'node:net';
import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WebdistError } from '../../errors.ts';
import type { SharedRedis } from '../../service/redis.ts';
import type { ServerDeps } from '../../service/service.ts';
import type { DeviceCookies } from '../device-cookie.ts';

const WINDOW_SECONDS = 60;

/** Visitors and addresses counted at the same time; the ones not seen longest are forgotten first. */
const COUNTED_AT_ONCE = 200_000;

/** How many requests in a minute there may be of the same key; a request without one is not counted under it. */
export type Limit = {
  readonly name: string;
  readonly max: number;
  readonly keyOf: (request: FastifyRequest) => string | undefined;
};

/** For pages: one visitor, and one address. */
export const pageLimits = (
  limits: ServerDeps['config']['rateLimit'],
  devices: Pick<DeviceCookies, 'deviceIn'>,
): readonly Limit[] => [
  { name: 'visitor', max: limits.perVisitor, keyOf: (request) => devices.deviceIn(request)?.id ?? addressOf(request) },
  { name: 'address', max: limits.perAddress, keyOf: addressOf },
];

/** For all pages together, where the settings want that: one app, and everything. */
export const sharedLimits = (
  limits: ServerDeps['config']['rateLimit'],
  appOf: (request: FastifyRequest) => string | undefined,
): readonly Limit[] =>
  [
    { name: 'app', max: limits.perApp, keyOf: appOf },
    { name: 'total', max: limits.total, keyOf: () => 'all' },
  ].filter(({ max }) => max > 0);

/** What is left of a limit; undefined for one that does not count this request. */
type Counted = { readonly remaining: number; readonly ttlInSeconds: number; readonly isExceeded: boolean } | undefined;

/** Gives the check to run for each request; throws `rate_limited`, at once where there is no Redis to be asked. */
export async function openRateLimit(
  app: FastifyInstance,
  { metrics, redis }: Pick<ServerDeps, 'metrics' | 'redis'>,
  limits: readonly Limit[],
) {
  const countHere = openCountsHere(limits);
  const countThere = redis && (await openCountsThere(app, limits, redis));
  const policy = limits.map(({ name, max }) => `"${name}";q=${max};w=${WINDOW_SECONDS}`).join(', ');

  const judge = (reply: FastifyReply, counted: readonly Counted[]): void => {
    let left = '';
    let waitSeconds = 0;
    for (const [index, { name }] of limits.entries()) {
      const count = counted[index];
      if (!count) continue;
      left += `${left && ', '}"${name}";r=${count.remaining};t=${count.ttlInSeconds}`;
      if (!count.isExceeded) continue;
      waitSeconds = Math.max(waitSeconds, count.ttlInSeconds);
      metrics.rateLimited.inc({ limit: name });
    }
    addHeader(reply, 'ratelimit-policy', policy);
    addHeader(reply, 'ratelimit', left);
    if (waitSeconds > 0)
      throw new WebdistError('rate_limited', `Try again in ${waitSeconds} s.`, { retryAfterSeconds: waitSeconds });
  };
  return (request: FastifyRequest, reply: FastifyReply): void | Promise<void> =>
    countThere
      ? countThere(request)
          // Logged, counted and shown by health already; better a limit for each replica than none, or no answer.
          .catch(() => countHere(request))
          .then((counted) => judge(reply, counted))
      : judge(reply, countHere(request));
}

/** Limits may be checked in more than one step. */
function addHeader(reply: FastifyReply, name: string, value: string): void {
  const before = reply.getHeader(name);
  reply.header(name, before === undefined ? value : `${before}, ${value}`);
}

/** Counts in this process, with the plugin's own store: the plugin itself would make promises of what is known at once. */
function openCountsHere(limits: readonly Limit[]) {
  const stores = limits.map((limit) => ({ ...limit, store: new LocalStore(false, false, COUNTED_AT_ONCE) }));
  return (request: FastifyRequest): readonly Counted[] =>
    stores.map(({ max, keyOf, store }) => {
      const key = keyOf(request);
      let counted: Counted;
      if (key !== undefined)
        store.incr(
          key,
          (_error, { current, ttl }) => {
            const remaining = Math.max(0, max - current);
            counted = { remaining, ttlInSeconds: Math.ceil(ttl / 1000), isExceeded: current > max };
          },
          WINDOW_SECONDS * 1000,
          max,
        );
      return counted;
    });
}

type Store = {
  /** Calls back before it returns. */
  incr(
    key: string,
    done: (error: null, counted: { current: number; ttl: number }) => void,
    windowMs: number,
    max: number,
  ): void;
};
type StoreClass = new (continueExceeding: boolean, exponentialBackoff: boolean, keys: number) => Store;
const LocalStore: StoreClass = createRequire(import.meta.url)('@fastify/rate-limit/store/LocalStore.js');

/** Counts in Redis, for all replicas. Throws when it does not answer in time. */
async function openCountsThere(app: FastifyInstance, limits: readonly Limit[], redis: SharedRedis) {
  const checks: ReturnType<FastifyInstance['createRateLimit']>[] = [];
  await app.register(async (scope) => {
    const store = { redis: redis.client, nameSpace: 'webdist-limit-' };
    await scope.register(rateLimit, { global: false, timeWindow: WINDOW_SECONDS * 1000, ...store });
    for (const { name, max, keyOf } of limits)
      checks.push(
        scope.createRateLimit({
          max,
          keyGenerator(request) {
            const key = keyOf(request);
            return key === undefined ? UNCOUNTED : redis.nameOf(`${name} ${key}`);
          },
          allowList: (_request, key) => key === UNCOUNTED,
        }),
      );
  });
  return async (request: FastifyRequest): Promise<readonly Counted[]> => {
    const results = await redis.ask(() => Promise.all(checks.map((check) => check(request))));
    return results.map((result) => (result.isAllowed ? undefined : result));
  };
}

/** The key of requests that a limit does not count. */
const UNCOUNTED = '';

/** IPv6 by its network of 64 bits, which is one visitor's. */
export const addressOf = ({ ip }: FastifyRequest): string => (isIPv4(ip) ? ip : rateLimit.normalizeIP(ip));
