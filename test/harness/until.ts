/** Waits for something that happens in another process or task. */

import { setTimeout as delay } from 'node:timers/promises';

/** Waits until `probe` returns something truthy; throws if it never does. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  what: string | (() => string),
  seconds = 60,
): Promise<T> {
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const value = await probe();
    if (value) return value;
    await delay(25);
  }
  throw new Error(`never came: ${typeof what === 'string' ? what : what()}`);
}
