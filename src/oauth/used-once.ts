/** Remembers ids that were used, for as long as they could be used again. */

/** True the first time an id comes, within `seconds`; false afterwards. */
export type UsedOnce = (id: string, seconds: number) => Promise<boolean>;

/** Where all replicas remember, if anywhere; rejects when it cannot answer. */
export type SharedMarks = { setOnce(name: string, seconds: number): Promise<boolean> };

/** More than can come in the short life of a code; beyond it the oldest go. */
const MAX_REMEMBERED = 100_000;

/** Remembers here, and where all replicas do when there is such a place. While that is down each replica is alone. */
export function openUsedOnce(shared: SharedMarks | undefined, now: () => number): UsedOnce {
  const endsAt = new Map<string, number>();
  return async (id, seconds) => {
    const ended = endsAt.get(id);
    if (ended !== undefined && ended > now()) return false;
    endsAt.set(id, now() + seconds * 1000);
    for (const [oldest, end] of endsAt) {
      if (end > now() && endsAt.size <= MAX_REMEMBERED) break;
      endsAt.delete(oldest);
    }
    // What failed there was logged and counted by whoever watches it.
    return shared ? shared.setOnce(id, seconds).catch(() => true) : true;
  };
}
