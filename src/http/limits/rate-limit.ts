/**
 * Limits the install tokens per minute of one visitor, one address, one API key, one app and all callers together
 * (docs/settings.md, `WEBDIST_RATE_LIMIT…`). Responses have `Retry-After` and the header fields of
 * draft-ietf-httpapi-ratelimit-headers-10. Pages and devices share these limits. A request counts as one token before
 * anything else is known about it. Refused requests count too; otherwise a caller could try credentials without limit.
 * If Redis is configured, it counts for all replicas. While it does not answer, each process counts for itself.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';
import type { AddressOf } from '../../address.ts';
import type { ApiKey } from '../../config/api-keys.ts';
import type { Config } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import type { ServerDeps } from '../../service/service.ts';
import { type Count, type MemoryCounter, openMemoryCounter } from './counters.ts';

const WINDOW_SECONDS = 60;

/** The number of keys of one limit that are counted at the same time. */
const MAX_KEYS = 200_000;

/** A limit: at most this many tokens per minute with the same key. */
type Limit = {
  /** For headers and metrics. */
  readonly name: string;
  readonly max: number;
  /** The part of `RateLimit-Policy` for this limit. */
  readonly policy: string;
  readonly countHere: MemoryCounter;
};

/** Tokens that count under one key of one limit. Without a key, the limit is only named in the header fields. */
export type Charge = { readonly limit: Limit; readonly key: string | undefined; readonly tokens: number };
type Counted = Charge & { readonly key: string };

/** The limits of one server. */
export type RateLimits = ReturnType<typeof openRateLimits>;

type Deps = Pick<ServerDeps, 'metrics' | 'redis'> & {
  readonly config: Pick<Config, 'rateLimit'>;
  readonly addressOf: AddressOf;
};

/** Opens every limit that is configured. */
export function openRateLimits({ config: { rateLimit }, addressOf, metrics, redis }: Deps) {
  const windowMs = WINDOW_SECONDS * 1000;
  const limit = (name: string, max: number): Limit => ({
    name,
    max,
    policy: `"${name}";q=${max};w=${WINDOW_SECONDS}`,
    countHere: openMemoryCounter({ windowMs, maxKeys: MAX_KEYS }),
  });
  const unlessZero = (name: string, max: number) => (max > 0 ? limit(name, max) : undefined);
  const visitors = limit('visitor', rateLimit.perVisitor);
  const addresses = limit('address', rateLimit.perAddress);
  const apps = unlessZero('app', rateLimit.perApp);
  const total = unlessZero('total', rateLimit.total);
  /** Limits of API keys, by their tokens per minute, because API keys can change while the service runs. */
  const apiKeys = new Map<number, Limit>();
  const apiKeyLimit = (max: number): Limit => {
    const known = apiKeys.get(max) ?? limit('api-key', max);
    apiKeys.set(max, known);
    return known;
  };

  const countHere = (charges: readonly Counted[]): readonly Count[] =>
    charges.map((charge) => charge.limit.countHere(charge.key, charge.tokens));
  const count = (charges: readonly Counted[]): readonly Count[] | Promise<readonly Count[]> => {
    if (!redis || charges.length === 0) return countHere(charges);
    const counted = charges.map((charge) => ({
      key: redis.nameOf(`${charge.limit.name} ${charge.key}`),
      tokens: charge.tokens,
    }));
    // The failure was already logged and counted, and health shows it. A limit for each replica is better than none.
    return redis.count(counted, windowMs).catch(() => countHere(charges));
  };
  return {
    /**
     * The charge for a visitor, whether page or device, by the id of its subject. A new visitor has no count of its
     * own.
     */
    visitor: (key: string | undefined, tokens = 1): Charge[] => [{ limit: visitors, key, tokens }],
    /** The charge for the address of a request. */
    address: (request: FastifyRequest, tokens = 1): Charge[] => [
      { limit: addresses, key: addressOf(request.raw), tokens },
    ],
    /** The charge for a server, by its API key, if the key has a limit. */
    apiKey: ({ name, tokensPerMinute }: ApiKey, tokens: number): Charge[] =>
      tokensPerMinute === undefined ? [] : [{ limit: apiKeyLimit(tokensPerMinute), key: name, tokens }],
    /**
     * The charges that apply to every caller: one token for each of these apps, by bundle id, if there are limits for
     * apps or for the total.
     */
    apps(bundleIds: readonly string[]): Charge[] {
      if (bundleIds.length === 0) return [];
      const charges: Charge[] = apps === undefined ? [] : bundleIds.map((key) => ({ limit: apps, key, tokens: 1 }));
      return total === undefined ? charges : [...charges, { limit: total, key: 'all', tokens: bundleIds.length }];
    },
    /** Counts the charges. Rejects with `rate_limited` when a limit is exceeded. Sets the header fields of a `reply`. */
    async charge(charges: readonly Charge[], reply?: FastifyReply): Promise<void> {
      if (charges.length === 0) return;
      const counted = charges.filter((charge): charge is Counted => charge.key !== undefined);
      const counting = count(counted);
      const counts = counting instanceof Promise ? await counting : counting;
      const fields: string[] = [];
      let waitSeconds = 0;
      counted.forEach(({ limit: { name, max } }, index) => {
        const { count = 0, endsInMs = 0 } = counts[index] ?? {};
        const endsInSeconds = Math.ceil(endsInMs / 1000);
        fields.push(`"${name}";r=${Math.max(0, max - count)};t=${endsInSeconds}`);
        if (count <= max) return;
        waitSeconds = Math.max(waitSeconds, endsInSeconds);
        metrics.rateLimited.inc({ limit: name });
      });
      if (reply) {
        addHeader(reply, 'ratelimit-policy', charges.map(({ limit }) => limit.policy).join(', '));
        if (fields.length > 0) addHeader(reply, 'ratelimit', fields.join(', '));
      }
      if (waitSeconds > 0) throw rateLimited(waitSeconds);
    },
  };
}

/** Returns the refusal for an exceeded limit, whose window ends after this many seconds. */
export const rateLimited = (seconds: number) =>
  new WebdistError('rate_limited', `Try again in ${seconds} s.`, { retryAfterSeconds: seconds });

/** Removes the header fields before a further charge under the same limits, which adds the final ones. */
export const removeRateFields = (reply: FastifyReply): void => {
  reply.removeHeader('ratelimit-policy');
  reply.removeHeader('ratelimit');
};

/** Limits may be checked in more than one step. */
function addHeader(reply: FastifyReply, name: string, value: string): void {
  const before = reply.getHeader(name);
  reply.header(name, before === undefined ? value : `${before}, ${value}`);
}
