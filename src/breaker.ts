/**
 * A circuit breaker whose pause is measured by the monotonic clock. cockatiel measures it by the wall clock: with that alone,
 * a clock that is set back by an hour during an outage would make the outage last for an hour.
 */

import { BrokenCircuitError, CircuitState, circuitBreaker, type IBreaker, type Policy } from 'cockatiel';

export type Breaker = {
  /** Whether calls are made as usual, refused, or a single one is on trial. */
  readonly state: 'closed' | 'paused' | 'trial';
  /** How long calls are still refused, in milliseconds. */
  leftMs(): number;
  /** Makes a call. Throws `BrokenCircuitError` during a pause. While a trial runs, other calls wait for its outcome. */
  execute<T>(call: () => Promise<T>): Promise<T>;
};

/** Opens a breaker that pauses for `pauseMs` milliseconds when `breaker` counts enough of the failures that `handled` selects. */
export function openBreaker(handled: Policy, breaker: IBreaker, pauseMs: number): Breaker {
  // Its own pause is always over, whatever the wall clock says.
  const circuit = circuitBreaker(handled, { breaker, halfOpenAfter: Number.NEGATIVE_INFINITY });
  let pausedUntilMs = 0;
  circuit.onBreak(() => {
    pausedUntilMs = performance.now() + pauseMs;
  });
  const leftMs = () => Math.max(0, pausedUntilMs - performance.now());
  const refuse = () => Promise.reject(new BrokenCircuitError());
  return {
    get state() {
      if (circuit.state === CircuitState.Closed) return 'closed';
      return circuit.state === CircuitState.HalfOpen ? 'trial' : 'paused';
    },
    leftMs,
    // The second check is for a call that waited for a trial that failed.
    execute: (call) => (leftMs() > 0 ? refuse() : circuit.execute(() => (leftMs() > 0 ? refuse() : call()))),
  };
}
