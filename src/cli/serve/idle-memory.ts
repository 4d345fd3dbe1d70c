/** What V8 does with the memory of a service that is idle. */

import { setFlagsFromString } from 'node:v8';

/**
 * Turns off V8's memory reducer, which collects garbage when nothing has happened for half a minute. It returns about a
 * fifth of the memory, but also discards compiled code: the first 500 tokens after it take three to four times as long,
 * and later ones 1.16 times (docs/performance.md). With at most 0 collections, it never starts one.
 */
export const keepCodeWhileIdle = (): void => setFlagsFromString('--memory-reducer-gc-count=0');
