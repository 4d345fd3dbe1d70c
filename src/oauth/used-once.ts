/** Remembers ids that were used, for as long as they could be used again. */

/** Resolves to true the first time that an id is used within `seconds`, to false afterwards. */
export type UsedOnce = (id: string, seconds: number) => Promise<boolean>;

/** Where all replicas remember; rejects when it does not answer. */
export type SharedMarks = { setOnce(id: string, seconds: number): Promise<boolean> };

/** More than are used in the short life of a code; beyond it the oldest are forgotten. */
const MAX_REMEMBERED = 100_000;

/** Remembers in this process, and in `shared` if there is one. While that is down, each replica remembers only its own. */
export function openUsedOnce(shared: SharedMarks | undefined, now: () => number): UsedOnce {
  const endsAtMs = new Map<string, number>();
  return async (id, seconds) => {
    const end = endsAtMs.get(id);
    if (end !== undefined && end > now()) return false;
    // Deleted first, so that the map stays in the order of the ends.
    endsAtMs.delete(id);
    endsAtMs.set(id, now() + seconds * 1000);
    for (const [oldest, endMs] of endsAtMs) {
      if (endMs > now() && endsAtMs.size <= MAX_REMEMBERED) break;
      endsAtMs.delete(oldest);
    }
    // The failure was logged and counted where Redis is watched.
    return shared ? shared.setOnce(id, seconds).catch(() => true) : true;
  };
}
