/**
 * Keeps the memory of a long download small. Every 64 KiB from the network is a buffer of its own outside V8's heap,
 * twice with `node:http`, and V8 lets about 60 MB of such garbage gather before it looks. A minor collection takes
 * less than a millisecond; Node offers it only behind V8's flag.
 */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const EVERY_BYTES = 4 * 1024 * 1024;

/** Gives a function that is told how many bytes have been dealt with. */
export function openYoungGarbage(): (bytes: number) => void {
  setFlagsFromString('--expose-gc');
  const collect: ((options: { readonly type: 'minor' }) => void) | undefined = runInNewContext('globalThis.gc');
  let gathered = 0;
  return (bytes) => {
    gathered += bytes;
    if (gathered < EVERY_BYTES) return;
    gathered = 0;
    collect?.({ type: 'minor' });
  };
}
