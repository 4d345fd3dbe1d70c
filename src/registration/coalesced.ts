/** Runs work so that it never runs twice at the same time. */

export interface Coalesced {
  /**
   * Starts the work. A call during a run starts one more run after it, so that changes in the meantime are seen. All
   * calls during a run share that next run.
   */
  run(): Promise<void>;
  /** Resolves when the current run, if there is one, is over. */
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
