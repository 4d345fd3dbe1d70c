/**
 * `redis://` and `rediss://`: one Redis that all replicas share. Example:
 * `rediss://webdist:password@cache.example.com:6379`. Needs the commands eval, incrby, pexpire, pttl and set on keys that
 * begin with `webdist-`. Redis Cluster and Sentinel are not supported; the error message says so.
 */

import type { Redis } from 'ioredis';
import type { WebdistError } from '../errors.ts';
import { isDisconnected, needsNewConnection, redisError } from './problems.ts';

/** A key, and the tokens to count under it, at least one. */
export type Counted = { readonly key: string; readonly tokens: number };

/** One key's count. */
type Count = {
  /** The tokens of this key in its window, including those just counted. */
  readonly count: number;
  readonly endsInMs: number;
};

/** Every method throws `redis_unavailable`, or `config_invalid` for a server that webdist does not support. */
export interface RedisConnection {
  /**
   * Counts tokens under each key, in a window that begins with the key's first token. Makes one round trip for all keys,
   * and returns the counts in the same order.
   */
  count(counted: readonly Counted[], windowMs: number): Promise<readonly Count[]>;
  /** Resolves to true if this is the first use of an id within this many seconds. */
  setOnce(id: string, seconds: number): Promise<boolean>;
  /** Proves that both methods work, by using both with separate keys that expire at once. */
  prove(): Promise<void>;
  close(): void;
}

const CONNECT_MS = 1000;
const RECONNECT_MS = 1000;
/** If nothing arrives on a connection for this long after a command, its server is gone. */
const SILENT_MS = 2000;
const PROOF_MS = 1000;

/** For every key: counts, starts the window with the first tokens, and returns the count and the rest of the window. */
const SCRIPT = `
  local counts = {}
  for index, key in ipairs(KEYS) do
    local tokens = tonumber(ARGV[index + 1])
    local count = redis.call('INCRBY', key, tokens)
    if count == tokens then redis.call('PEXPIRE', key, ARGV[1]) end
    counts[index] = { count, redis.call('PTTL', key) }
  end
  return counts`;

/** Connects. A server that cannot be reached is not an error; connecting is retried. `answerMs` limits every command. */
export async function openRedisConnection(
  url: string,
  { answerMs }: { readonly answerMs: number },
): Promise<RedisConnection> {
  const { Redis } = await import('ioredis');
  const client = new Redis(url, {
    connectionName: 'webdist',
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    commandTimeout: answerMs,
    socketTimeout: SILENT_MS,
    // The check needs permission for INFO, and a server that is still loading reports that by itself.
    enableReadyCheck: false,
    // No command waits for a connection, and none is sent twice, because it would count twice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (times) => Math.min(times * 50, RECONNECT_MS),
    reconnectOnError: needsNewConnection,
  });
  const ask = explain(client, { usesTls: url.startsWith('rediss:') });
  await client.connect().catch(() => undefined);
  const count = async (counted: readonly Counted[], windowMs: number): Promise<readonly Count[]> => {
    const keys = counted.map(({ key }) => `webdist-limit-${key}`);
    const tokens = counted.map((one) => one.tokens);
    const counts = await ask(() => client.eval(SCRIPT, keys.length, ...keys, windowMs, ...tokens));
    return (counts as [number, number][]).map(([count, endsInMs]) => ({ count, endsInMs }));
  };
  const setOnce = async (id: string, seconds: number) =>
    (await ask(() => client.set(`webdist-code-${id}`, '', 'EX', seconds, 'NX'))) === 'OK';
  return {
    count,
    setOnce,
    async prove() {
      // Uses two keys: with one key, the command could succeed even in a Redis Cluster.
      const keys = ['proof-1', 'proof-2'].map((key) => ({ key, tokens: 1 }));
      await Promise.all([count(keys, PROOF_MS), setOnce('proof', PROOF_MS / 1000)]);
    },
    close: () => client.disconnect(),
  };
}

/** Replaces the error "no connection" of a command by the reason why there is none. */
function explain(client: Redis, scheme: { readonly usesTls: boolean }) {
  let whyNotConnected: WebdistError | undefined;
  client.on('error', (error) => {
    whyNotConnected = redisError(error, scheme);
    // ioredis listens for one error of a socket, and another would end the process. TLS reports a second one if the server
    // sends an alert just after this process has refused its certificate.
    client.stream?.on('error', () => undefined);
  });
  client.on('ready', () => {
    whyNotConnected = undefined;
  });
  return async <T>(command: () => Promise<T>): Promise<T> => {
    try {
      return await command();
    } catch (thrown) {
      const error = redisError(thrown, scheme);
      if (needsNewConnection(thrown)) whyNotConnected = error;
      throw isDisconnected(thrown) ? (whyNotConnected ?? error) : error;
    }
  };
}
