/**
 * The Redis in which all replicas count requests. No request waits for it: while it is down or slow, each replica counts
 * for itself (docs/settings.md, `WEBDIST_REDIS_URL`).
 */

import { createHmac } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';
import { watchDependency } from './dependency.ts';

export interface SharedRedis {
  readonly client: Redis;
  /** Runs work that uses the client. Throws within a tenth of a second when Redis does not answer; that is counted. */
  ask<T>(work: () => Promise<T>): Promise<T>;
  /** The key for a visitor or an address there: a keyed one-way hash, so that Redis holds no addresses. */
  nameOf(text: string): string;
  /** Whether its last use failed. */
  readonly isDown: boolean;
  close(): Promise<void>;
}

const ANSWER_MS = 100;
const CONNECT_MS = 1000;
const RECONNECT_MS = 1000;

/** Connects to a `redis://` or `rediss://` URL; when it cannot be reached, that is retried and no error. */
export async function openRedis(
  url: string,
  { key, metrics, log }: { readonly key: Buffer; readonly metrics: Metrics; readonly log: Logger },
): Promise<SharedRedis> {
  const { Redis } = await import('ioredis');
  const client = new Redis(url, {
    connectionName: 'webdist',
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: ANSWER_MS,
    // No command waits for a connection, and none is sent twice: it would count twice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * 50, RECONNECT_MS),
  });
  client.on('error', () => {
    // Every command that fails because of it reports it.
  });
  // A failure shows in the first ping.
  await client.connect().catch(() => undefined);
  const watched = await watchDependency({
    name: 'redis',
    ping: () => client.ping(),
    answerMs: ANSWER_MS,
    meanwhile: 'every replica counts for itself',
    metrics,
    log,
  });
  return {
    client,
    nameOf: (text) => createHmac('sha256', key).update(text).digest('base64url').slice(0, 22),
    ask: (work) =>
      watched.ask(work).catch((error) => {
        metrics.redisFailures.inc();
        throw error;
      }),
    get isDown() {
      return watched.isDown;
    },
    async close() {
      watched.close();
      client.disconnect();
    },
  };
}
