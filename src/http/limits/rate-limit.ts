/**
 * How many requests a minute one visitor, one address, one app and all pages together may send (docs/settings.md,
 * `WEBDIST_RATE_LIMIT…`), with `Retry-After` and the header fields of draft-ietf-httpapi-ratelimit-headers-10. Counted in
 * Redis for all replicas where it is configured; while it does not answer, in this process.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import type { ServerDeps } from '../../service/service.ts';
import { addressOf } from '../address.ts';
import type { DeviceCookies } from '../device-cookie.ts';
import type { Limiter } from '../guard.ts';
import { type Count, type MemoryCounter, openMemoryCounter, openRedisCounter } from './counters.ts';

const WINDOW_SECONDS = 60;

/** Visitors and addresses that are counted at the same time. */
const MAX_KEYS = 200_000;

/** One rate limit; a request can count under several. */
export type Limit = {
  /** For headers and metrics. */
  readonly name: string;
  /** Requests a minute with the same key. */
  readonly max: number;
  /** Undefined: the request does not count under this limit. */
  readonly keyOf: (request: FastifyRequest) => string | undefined;
};

type Settings = Config['rateLimit'];

/** For pages: one visitor, and one address. */
export const pageLimits = (settings: Settings, devices: Pick<DeviceCookies, 'deviceIn'>): readonly Limit[] => [
  {
    name: 'visitor',
    max: settings.perVisitor,
    keyOf: (request) => devices.deviceIn(request)?.id ?? addressOf(request),
  },
  { name: 'address', max: settings.perAddress, keyOf: addressOf },
];

/** For devices: a known subject has a limit of its own, the others share that of their address. */
export const deviceLimits = (
  settings: Settings,
  subjectOf: (request: FastifyRequest) => string | undefined,
): readonly Limit[] => [
  { name: 'device', max: settings.perVisitor, keyOf: subjectOf },
  {
    name: 'device-address',
    max: settings.perAddress,
    keyOf: (request) => (subjectOf(request) === undefined ? addressOf(request) : undefined),
  },
];

/** For all pages together, where configured: one app, and everything. */
export const sharedLimits = (
  settings: Settings,
  appOf: (request: FastifyRequest) => string | undefined,
): readonly Limit[] =>
  [
    { name: 'app', max: settings.perApp, keyOf: appOf },
    { name: 'total', max: settings.total, keyOf: () => 'all' },
  ].filter(({ max }) => max > 0);

/** A limit that counts this request, and the key that it counts under. */
type Applied = { readonly limit: CountedLimit; readonly key: string };
type CountedLimit = Limit & { readonly countHere: MemoryCounter };

/** Counts a request under every limit; rejects with `rate_limited` when one is exceeded. */
export function openRateLimit(
  { metrics, redis }: Pick<ServerDeps, 'metrics' | 'redis'>,
  limits: readonly Limit[],
): Limiter {
  const windowMs = WINDOW_SECONDS * 1000;
  const counted = limits.map((limit) => ({ ...limit, countHere: openMemoryCounter({ windowMs, maxKeys: MAX_KEYS }) }));
  const countForAll = redis && openRedisCounter({ client: redis.client, prefix: 'webdist-limit-', windowMs });
  const policy = limits.map(({ name, max }) => `"${name}";q=${max};w=${WINDOW_SECONDS}`).join(', ');

  const count = async (applied: readonly Applied[]): Promise<readonly Count[]> => {
    const here = () => applied.map(({ limit, key }) => limit.countHere(key));
    if (!redis || !countForAll || applied.length === 0) return here();
    const names = applied.map(({ limit, key }) => redis.nameOf(`${limit.name} ${key}`));
    // The failure was logged, counted and shown by health; a limit for each replica is better than none.
    return redis.ask(() => countForAll(names)).catch(here);
  };
  const judge = (reply: FastifyReply, applied: readonly Applied[], counts: readonly Count[]): void => {
    let fields = '';
    let waitSeconds = 0;
    for (const [index, { limit }] of applied.entries()) {
      const { count = 0, endsInMs = 0 } = counts[index] ?? {};
      const endsInSeconds = Math.ceil(endsInMs / 1000);
      fields += `${fields && ', '}"${limit.name}";r=${Math.max(0, limit.max - count)};t=${endsInSeconds}`;
      if (count <= limit.max) continue;
      waitSeconds = Math.max(waitSeconds, endsInSeconds);
      metrics.rateLimited.inc({ limit: limit.name });
    }
    addHeader(reply, 'ratelimit-policy', policy);
    if (fields) addHeader(reply, 'ratelimit', fields);
    if (waitSeconds > 0) throw rateLimited(waitSeconds);
  };
  return async (request, reply) => {
    const applied: Applied[] = [];
    for (const limit of counted) {
      const key = limit.keyOf(request);
      if (key !== undefined) applied.push({ limit, key });
    }
    judge(reply, applied, await count(applied));
  };
}

/** The refusal when a limit is exceeded; its window ends after so many seconds. */
export const rateLimited = (seconds: number) =>
  new WebdistError('rate_limited', `Try again in ${seconds} s.`, { retryAfterSeconds: seconds });

/** Limits may be checked in more than one step. */
function addHeader(reply: FastifyReply, name: string, value: string): void {
  const before = reply.getHeader(name);
  reply.header(name, before === undefined ? value : `${before}, ${value}`);
}
