/**
 * Counts requests by key, in fixed windows: a key's window begins with its first request and all windows are equally long.
 * In memory for one process, in Redis for all replicas; both count the same (test/http/limits/counters.test.ts).
 */

import type { Redis } from 'ioredis';

/** One key's count. */
export type Count = {
  /** Requests of this key in its window, this one included. */
  readonly count: number;
  readonly endsInMs: number;
};

/** Counts one request under a key. */
export type MemoryCounter = (key: string) => Count;
/** Counts one request under each key and returns the counts in the same order. Rejects when Redis does not answer. */
export type RedisCounter = (keys: readonly string[]) => Promise<readonly Count[]>;

type MemoryOptions = {
  readonly windowMs: number;
  /** At most twice as many are held; beyond that the oldest are forgotten. */
  readonly maxKeys: number;
  /** A clock in milliseconds that only moves forwards. */
  readonly nowMs?: () => number;
};

type Window = { count: number; readonly endsAtMs: number };

/** Counts in a map, which starts empty. */
export function openMemoryCounter({
  windowMs,
  maxKeys,
  nowMs = () => performance.now(),
}: MemoryOptions): MemoryCounter {
  // Two generations: when the recent one is a window old, every window of the one before has ended, and it is dropped whole.
  let recent = new Map<string, Window>();
  let previous = new Map<string, Window>();
  let dropAtMs = nowMs() + windowMs;
  return (key) => {
    const now = nowMs();
    if (now >= dropAtMs || recent.size >= maxKeys) {
      previous = recent;
      recent = new Map();
      dropAtMs = now + windowMs;
    }
    let window = recent.get(key) ?? previous.get(key);
    if (window === undefined || now >= window.endsAtMs) {
      window = { count: 0, endsAtMs: now + windowMs };
      recent.set(key, window);
    }
    window.count += 1;
    return { count: window.count, endsInMs: window.endsAtMs - now };
  };
}

/** For every key: counts, starts the window with the first request, and returns the count and what is left of the window. */
const SCRIPT = `
  local counts = {}
  for index, key in ipairs(KEYS) do
    local count = redis.call('INCR', key)
    if count == 1 then redis.call('PEXPIRE', key, ARGV[1]) end
    counts[index] = { count, redis.call('PTTL', key) }
  end
  return counts`;

type RedisOptions = { readonly client: Pick<Redis, 'eval'>; readonly prefix: string; readonly windowMs: number };

/** One command for all keys. */
export const openRedisCounter =
  ({ client, prefix, windowMs }: RedisOptions): RedisCounter =>
  async (keys) => {
    const counts = await client.eval(SCRIPT, keys.length, ...keys.map((key) => prefix + key), windowMs);
    return (counts as [number, number][]).map(([count, endsInMs]) => ({ count, endsInMs }));
  };
