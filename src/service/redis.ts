/**
 * The Redis server in which all replicas share their counts of requests. No request has to wait for it, because each
 * replica counts for itself while Redis is down or slow (docs/settings.md, `WEBDIST_REDIS_URL`).
 */

import { createHmac } from 'node:crypto';
import type { Logger } from 'pino';
import { hasCode } from '../errors.ts';
import type { Metrics } from '../metrics.ts';
import { openRedisConnection, type RedisConnection } from '../redis/connection.ts';
import { watchDependency } from './dependency.ts';

/** `count` and `setOnce` reject within a tenth of a second if Redis does not answer. Such failures are counted. */
export interface SharedRedis extends Pick<RedisConnection, 'count' | 'setOnce'> {
  /**
   * Returns the key for a visitor or an address in Redis: a keyed one-way hash, so that Redis contains no addresses.
   */
  nameOf(text: string): string;
  /** Says in one sentence why the last use failed; undefined if it succeeded. */
  readonly problem: string | undefined;
  close(): Promise<void>;
}

const ANSWER_MS = 100;

/**
 * Connects to a `redis://` or `rediss://` URL. A server that cannot be reached is not an error; connecting is retried.
 * Throws `config_invalid` for a server that webdist does not support.
 */
export async function openRedis(
  url: string,
  { key, metrics, log }: { readonly key: Buffer; readonly metrics: Metrics; readonly log: Logger },
): Promise<SharedRedis> {
  const connection = await openRedisConnection(url, { answerMs: ANSWER_MS });
  await connection.prove().catch((error) => {
    // Any other failure may pass by itself. The first check below reports it.
    if (!hasCode(error, 'config_invalid')) return;
    connection.close();
    throw error;
  });
  const watched = await watchDependency({
    name: 'redis',
    ping: connection.prove,
    answerMs: ANSWER_MS,
    meanwhile: 'every replica counts for itself',
    metrics,
    log,
  });
  const ask = <T>(work: () => Promise<T>): Promise<T> =>
    watched.use(work).catch((error) => {
      metrics.redisFailures.inc();
      throw error;
    });
  return {
    nameOf: (text) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22),
    count: (keys, windowMs) => ask(() => connection.count(keys, windowMs)),
    setOnce: (id, seconds) => ask(() => connection.setOnce(id, seconds)),
    get problem() {
      return watched.problem;
    },
    async close() {
      watched.close();
      connection.close();
    },
  };
}
