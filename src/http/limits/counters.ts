/**
 * Counts tokens by key, in fixed windows: a key's window begins with its first token and all windows are equally long.
 * In memory, for one process. Redis counts the same for all replicas (src/redis/connection.ts, test/http/limits/counters.test.ts).
 */

/** One key's count. */
export type Count = {
  /** Tokens of this key in its window, these included. */
  readonly count: number;
  readonly endsInMs: number;
};

/** Counts so many tokens, at least one, under a key. */
export type MemoryCounter = (key: string, tokens: number) => Count;

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
