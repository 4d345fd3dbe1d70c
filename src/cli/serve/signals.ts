/**
 * The signals of `webdist serve`: SIGTERM and SIGINT shut down, SIGHUP runs the checks again. They are taken before
 * anything is opened, and kept until the service can act on them.
 */

import { setTimeout as delay } from 'node:timers/promises';

type StopSignal = 'SIGTERM' | 'SIGINT';

export type Signals = {
  /** From now on a SIGHUP runs `reconcile`, which must not throw. One that came before runs it now. */
  reconcileWith(reconcile: () => Promise<void>): void;
  /** From now on the first SIGTERM or SIGINT runs `shutDown`. */
  shutDownWith(shutDown: (signal: StopSignal) => void): void;
};

/**
 * A stop signal within this time of the first is the same request. A process group that gets SIGTERM (systemd's default)
 * or Ctrl-C sends it to npm and to node, and npm passes its own on to node, which receives it twice.
 */
const SAME_REQUEST_MS = 1000;

/** The pause after a check that SIGHUP requested. It doubles while more SIGHUPs arrive, because Apple counts requests by the hour. */
const PAUSE_MS = { first: 1000, longest: 60_000 };

/** Exit codes of a process that ends while it starts, as a shell reports the signal. */
const EXIT_CODES: Readonly<Record<StopSignal, number>> = { SIGTERM: 143, SIGINT: 130 };

/** Takes the signals of this process. Until `shutDownWith` is called, SIGTERM and SIGINT end it at once: nothing is under way. */
export function takeSignals(): Signals {
  let shutDown = (signal: StopSignal): void => process.exit(EXIT_CODES[signal]);
  let stoppedAtMs: number | undefined;
  let reconcile: (() => void) | undefined;
  let missedHangup = false;
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.on(name, () => {
      if (stoppedAtMs === undefined) {
        stoppedAtMs = performance.now();
        shutDown(name);
      } else if (performance.now() - stoppedAtMs >= SAME_REQUEST_MS) process.exit(1);
    });
  process.on('SIGHUP', () => {
    if (stoppedAtMs !== undefined) return;
    if (reconcile) reconcile();
    else missedHangup = true;
  });
  return {
    reconcileWith(work) {
      reconcile = paced(work, PAUSE_MS);
      if (missedHangup) reconcile();
    },
    shutDownWith(work) {
      shutDown = work;
    },
  };
}

/**
 * Turns `work` into a function that starts it at once, or, if it ran recently, once after a pause, however often it is
 * called. The pause doubles with every run that follows another, up to the longest, and is short again after a pause without a call.
 */
function paced(work: () => Promise<void>, pauseMs: { readonly first: number; readonly longest: number }) {
  let isBusy = false;
  let isWanted = false;
  const run = async () => {
    for (let pause = pauseMs.first; isWanted; pause = Math.min(pause * 2, pauseMs.longest)) {
      isWanted = false;
      await work();
      await delay(pause, undefined, { ref: false });
    }
    isBusy = false;
  };
  return (): void => {
    isWanted = true;
    if (isBusy) return;
    isBusy = true;
    void run();
  };
}
