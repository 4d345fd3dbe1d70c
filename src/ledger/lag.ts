/**
 * Measures how far a read replica is behind its ledger, from the heartbeats that the ledger stored and that have not
 * arrived yet.
 */

export interface ReplicaLag {
  /** To be called when the ledger stored a heartbeat; `beat` is the time by the ledger's clock. */
  stored(beat: number): void;
  /** To be called when the heartbeat with this time, and so everything before it, has arrived at the replica. */
  arrived(beat: number): void;
  /**
   * For how many seconds the oldest missing heartbeat has been missing; 0 if none is missing. While the ledger is down,
   * it stores no heartbeats, so a replica that has caught up stays at 0.
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
