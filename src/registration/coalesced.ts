/** Work that never runs twice at the same time. */

export interface Coalesced {
  /**
   * Starts the work. A call during a run starts one more run after it, which all such calls share: what changed in the
   * meantime must be seen.
   */
  run(): Promise<void>;
  /** Resolves when the current run, if any, is over. */
  idle(): Promise<void>;
}

/** `work` must not throw. */
export function coalesced(work: () => Promise<void>): Coalesced {
  let running: Promise<void> | undefined;
  let following: Promise<void> | undefined;
  const run = (): Promise<void> => {
    if (!running) {
      running = work().finally(() => {
        running = undefined;
      });
      return running;
    }
    following ??= running.then(() => {
      following = undefined;
      return run();
    });
    return following;
  };
  return { run, idle: async () => running };
}
