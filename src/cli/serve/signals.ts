/**
 * Handles the signals of `webdist serve`: SIGTERM and SIGINT shut down, SIGHUP runs the checks again. The handlers are
 * installed before anything is opened. A signal that arrives early is remembered until the service can act on it.
 */

import { setTimeout as delay } from 'node:timers/promises';

type StopSignal = 'SIGTERM' | 'SIGINT';

export type Signals = {
  /** From now on, a SIGHUP runs `reconcile`, which must not throw. If one arrived earlier, `reconcile` runs now. */
  reconcileWith(reconcile: () => Promise<void>): void;
  /** From now on, each SIGHUP runs `reopen` at once, because logrotate compresses a file soon after. It must not throw. */
  reopenWith(reopen: () => void): void;
  /** From now on the first SIGTERM or SIGINT runs `shutDown`. */
  shutDownWith(shutDown: (signal: StopSignal) => void): void;
};

/**
 * A second stop signal within this time is the same request. When a process group gets SIGTERM (systemd's default) or
 * Ctrl-C, both npm and node receive it. npm forwards it to node, so node receives it twice.
 */
const SAME_REQUEST_MS = 1000;

/**
 * The pause after a check that a SIGHUP started. It doubles while more SIGHUPs arrive, because Apple limits requests
 * per hour.
 */
const PAUSE_MS = { first: 1000, longest: 60_000 };

/** The exit codes of a process that a signal ends while it starts, as shells report them. */
const EXIT_CODES: Readonly<Record<StopSignal, number>> = { SIGTERM: 143, SIGINT: 130 };

/**
 * Installs the signal handlers of this process. Until `shutDownWith` is called, SIGTERM and SIGINT end the process at
 * once, because no work is in progress.
 */
export function takeSignals(): Signals {
  let shutDown = (signal: StopSignal): void => process.exit(EXIT_CODES[signal]);
  let stoppedAtMs: number | undefined;
  let reconcile: (() => void) | undefined;
  let reopen: (() => void) | undefined;
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
    reopen?.();
    if (reconcile) reconcile();
    else missedHangup = true;
  });
  return {
    reconcileWith(work) {
      reconcile = paced(work, PAUSE_MS);
      if (missedHangup) reconcile();
    },
    reopenWith(work) {
      reopen = work;
    },
    shutDownWith(work) {
      shutDown = work;
    },
  };
}

/**
 * Limits how often `work` runs. The returned function starts `work` at once. If `work` ran recently, all calls during
 * the pause start it once, when the pause ends. The pause doubles with each such run, up to the longest. It is short
 * again after a pause without a call.
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
