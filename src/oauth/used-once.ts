/** Remembers each used id until it expires, so that it is accepted only once. */

/** Resolves to true for the first use of an id within `seconds`, and to false for later uses. */
export type UsedOnce = (id: string, seconds: number) => Promise<boolean>;

/** The memory that all replicas share. Rejects if it does not answer. */
export type SharedMarks = { setOnce(id: string, seconds: number): Promise<boolean> };

/** More ids than are used before a code expires. Beyond this number, the oldest are forgotten. */
const MAX_REMEMBERED = 100_000;

/**
 * Remembers ids in this process, and in `shared` if there is one. While `shared` is down, each replica remembers only
 * its own.
 */
export function openUsedOnce(shared: SharedMarks | undefined, now: () => number): UsedOnce {
  const endsAtMs = new Map<string, number>();
  return async (id, seconds) => {
    const end = endsAtMs.get(id);
    if (end !== undefined && end > now()) return false;
    // An existing entry is deleted first, so that the map stays sorted by expiry.
    endsAtMs.delete(id);
    endsAtMs.set(id, now() + seconds * 1000);
    for (const [oldest, endMs] of endsAtMs) {
      if (endMs > now() && endsAtMs.size <= MAX_REMEMBERED) break;
      endsAtMs.delete(oldest);
    }
    // The failure was already logged and counted (service/redis.ts).
    return shared ? shared.setOnce(id, seconds).catch(() => true) : true;
  };
}
