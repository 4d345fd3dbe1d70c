/**
 * How often one visitor and one address may ask (contract §3), by @fastify/rate-limit, with `Retry-After` and the
 * RateLimit header fields of draft-ietf-httpapi-ratelimit-headers-10. Counted in Redis for all replicas when there is
 * one; while it does not answer, here. Must not know what is asked.
 */

import { isIPv4 } from 'node:net';
import rateLimit, { type RateLimitPluginOptions } from '@fastify/rate-limit';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { WebdistError } from '../errors.ts';
import type { Service } from '../service.ts';
import type { DeviceCookies } from './device-cookie.ts';

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
  { config: { rateLimit: limits } }: Service,
  devices: Pick<DeviceCookies, 'idIn'>,
): readonly Limit[] => [
  { name: 'visitor', max: limits.perVisitor, keyOf: (request) => devices.idIn(request) ?? addressOf(request) },
  { name: 'address', max: limits.perAddress, keyOf: addressOf },
];

/** For all pages together, where the settings want that: one app, and everything. */
export const sharedLimits = (
  { config: { rateLimit: limits } }: Service,
  appOf: (request: FastifyRequest) => string | undefined,
): readonly Limit[] =>
  [
    { name: 'app', max: limits.perApp, keyOf: appOf },
    { name: 'total', max: limits.total, keyOf: () => 'all' },
  ].filter(({ max }) => max > 0);

/** Gives the check to run for each request; it throws `rate_limited`. */
export async function openRateLimit(app: FastifyInstance, service: Service, limits: readonly Limit[]) {
  const { metrics, redis } = service;
  const countHere = await openCounts(app, limits, { cache: COUNTED_AT_ONCE }, (name) => name);
  const countThere =
    redis && (await openCounts(app, limits, { redis: redis.client, nameSpace: 'webdist-limit-' }, redis.nameOf));
  const count =
    redis && countThere
      ? async (request: FastifyRequest) => {
          try {
            return await redis.ask(() => countThere(request));
          } catch {
            // Logged, counted and shown by health already; better a limit for each replica than none, or no answer.
            return countHere(request);
          }
        }
      : countHere;
  const policy = limits.map(({ name, max }) => `"${name}";q=${max};w=${WINDOW_SECONDS}`).join(', ');

  return async (request: FastifyRequest, reply: FastifyReply): Promise<void> => {
    const left: string[] = [];
    let waitSeconds = 0;
    for (const [index, result] of (await count(request)).entries()) {
      if (result.isAllowed) continue;
      const name = limits[index]?.name ?? '';
      left.push(`"${name}";r=${result.remaining};t=${result.ttlInSeconds}`);
      if (!result.isExceeded) continue;
      waitSeconds = Math.max(waitSeconds, result.ttlInSeconds);
      metrics.rateLimited.inc({ limit: name });
    }
    addHeader(reply, 'ratelimit-policy', policy);
    addHeader(reply, 'ratelimit', left.join(', '));
    if (waitSeconds > 0)
      throw new WebdistError('rate_limited', `Try again in ${waitSeconds} s.`, { retryAfterSeconds: waitSeconds });
  };
}

/** Limits may be checked in more than one step. */
function addHeader(reply: FastifyReply, name: string, value: string): void {
  const before = reply.getHeader(name);
  reply.header(name, before === undefined ? value : `${before}, ${value}`);
}

/** Counts a request under each limit, in one store. The plugin has one store in each scope. */
async function openCounts(
  app: FastifyInstance,
  limits: readonly Limit[],
  store: Pick<RateLimitPluginOptions, 'cache' | 'redis' | 'nameSpace'>,
  nameOf: (text: string) => string,
) {
  const checks: ReturnType<FastifyInstance['createRateLimit']>[] = [];
  await app.register(async (scope) => {
    await scope.register(rateLimit, { global: false, timeWindow: WINDOW_SECONDS * 1000, ...store });
    for (const { name, max, keyOf } of limits)
      checks.push(
        scope.createRateLimit({
          max,
          keyGenerator(request) {
            const key = keyOf(request);
            return key === undefined ? UNCOUNTED : nameOf(`${name} ${key}`);
          },
          allowList: (_request, key) => key === UNCOUNTED,
        }),
      );
  });
  return (request: FastifyRequest) => Promise.all(checks.map((check) => check(request)));
}

/** The key of requests that a limit does not count. */
const UNCOUNTED = '';

/** IPv6 by its network of 64 bits, which is one visitor's. */
export const addressOf = ({ ip }: FastifyRequest): string => (isIPv4(ip) ? ip : rateLimit.normalizeIP(ip));
