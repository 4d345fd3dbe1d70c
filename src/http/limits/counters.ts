/**
 * Counts tokens by key, in fixed windows: a key's window begins with its first token and all windows are equally long.
 * In memory for one process, in Redis for all replicas; both count the same (test/http/limits/counters.test.ts).
 */

import type { Redis } from 'ioredis';

/** One key's count. */
export type Count = {
  /** Tokens of this key in its window, these included. */
  readonly count: number;
  readonly endsInMs: number;
};

/** Counts so many tokens, at least one, under a key. */
export type MemoryCounter = (key: string, tokens: number) => Count;
/** A key, and the tokens to count under it, at least one. */
export type Counted = { readonly key: string; readonly tokens: number };
/** Counts tokens under each key and returns the counts in the same order. Rejects when Redis does not answer. */
export type RedisCounter = (counted: readonly Counted[]) => Promise<readonly Count[]>;

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
  return (key, tokens) => {
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
    window.count += tokens;
    return { count: window.count, endsInMs: window.endsAtMs - now };
  };
}

/** For every key: counts, starts the window with the first tokens, and returns the count and what is left of the window. */
const SCRIPT = `
  local counts = {}
  for index, key in ipairs(KEYS) do
    local tokens = tonumber(ARGV[index + 1])
    local count = redis.call('INCRBY', key, tokens)
    if count == tokens then redis.call('PEXPIRE', key, ARGV[1]) end
    counts[index] = { count, redis.call('PTTL', key) }
  end
  return counts`;

type RedisOptions = { readonly client: Pick<Redis, 'eval'>; readonly prefix: string; readonly windowMs: number };

/** One command for all keys. */
export const openRedisCounter =
  ({ client, prefix, windowMs }: RedisOptions): RedisCounter =>
  async (counted) => {
    const keys = counted.map(({ key }) => prefix + key);
    const tokens = counted.map((one) => one.tokens);
    const counts = await client.eval(SCRIPT, keys.length, ...keys, windowMs, ...tokens);
    return (counts as [number, number][]).map(([count, endsInMs]) => ({ count, endsInMs }));
  };
