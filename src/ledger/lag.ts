/** How far a read replica is behind its ledger, by heartbeats that the ledger stored and that have not arrived yet. */

export interface ReplicaLag {
  /** The ledger stored a heartbeat with this time of its own clock. */
  stored(beat: number): void;
  /** The replica has the heartbeat with this time, and so everything before it. */
  arrived(beat: number): void;
  /**
   * For how long the oldest missing heartbeat has been missing, in seconds; 0 when none is. While the ledger stores
   * none, because it is down, a replica that has caught up stays at 0: there is nothing that it could miss.
   */
  readonly seconds: number;
}

/** Later heartbeats are not tracked: at one every 5 s, the oldest has by then been missing for longer than any token lives. */
const MOST_MISSING = 1000;

/** `now` gives milliseconds of a clock that never goes back. */
export function trackLag(now: () => number = () => performance.now()): ReplicaLag {
  let missing: readonly { readonly beat: number; readonly sinceMs: number }[] = [];
  return {
    stored(beat) {
      if (missing.length < MOST_MISSING) missing = [...missing, { beat, sinceMs: now() }];
    },
    arrived(beat) {
      missing = missing.filter((one) => one.beat > beat);
    },
    get seconds() {
      return missing[0] ? (now() - missing[0].sinceMs) / 1000 : 0;
    },
  };
}
