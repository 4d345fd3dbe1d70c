/** Notices that this process did not run for a while, for example between SIGSTOP and SIGCONT, or on a laptop that slept. */

/**
 * Returns a function that counts suspensions: each time in which it was not called for longer than `longestMs`. To be called more
 * often than that while the process runs. `elapsed` returns milliseconds that only go forward.
 */
export function countSuspensions(elapsed: () => number, longestMs: number): () => number {
  let count = 0;
  let calledAt = elapsed();
  return () => {
    const now = elapsed();
    if (now - calledAt > longestMs) count++;
    calledAt = now;
    return count;
  };
}
