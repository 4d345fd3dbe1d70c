/**
 * Counts tokens by key in fixed windows. A key's window begins with its first token, and all windows have the same
 * length. In memory, for one process. Redis counts the same for all replicas (src/redis/connection.ts,
 * test/http/limits/counters.test.ts).
 */

/** One key's count. */
export type Count = {
  /** The number of tokens of this key in its window, including those just counted. */
  readonly count: number;
  readonly endsInMs: number;
};

/** Counts this number of tokens under a key; 0 only returns the count, and begins no window. */
export type MemoryCounter = (key: string, tokens: number) => Count;

type MemoryOptions = {
  readonly windowMs: number;
  /** At most twice this number of keys is kept. Beyond that, the oldest are forgotten. */
  readonly maxKeys: number;
  /** A clock in milliseconds that only moves forwards. */
  readonly nowMs?: () => number;
};

type Window = { count: number; readonly endsAtMs: number };

/** Returns counters in memory, all at zero. */
export function openMemoryCounter({
  windowMs,
  maxKeys,
  nowMs = () => performance.now(),
}: MemoryOptions): MemoryCounter {
  // There are two generations. When the recent one is as old as a window, every window in the one before has ended, so
  // that generation is dropped as a whole.
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
      if (tokens > 0) recent.set(key, window);
    }
    window.count += tokens;
    return { count: window.count, endsInMs: window.endsAtMs - now };
  };
}
