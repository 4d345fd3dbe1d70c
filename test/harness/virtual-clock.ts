/** Virtual time for parts that take a `Clock`: it stands still while real work is under way, and jumps from timer to timer. */

import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../src/registration/clock.ts';

export interface VirtualClock extends Clock {
  /** Lets this much time pass; resolves when the work that this caused is done. */
  advance(ms: number): Promise<void>;
  /** Resolves when no call of a tracked object is under way. */
  quiet(): Promise<void>;
  /** The same object, with each asynchronous call counted as work under way. */
  track<T extends object>(object: T): T;
}

/** Begins at `startMs`, in milliseconds since 1970. `random` is seeded, so that a run can be repeated. */
export function openVirtualClock(startMs = Date.parse('2026-11-26T10:00:00Z'), seed = 1): VirtualClock {
  let elapsedMs = 0;
  let order = 0;
  let state = seed;
  let timers: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  const underWay = new Set<Promise<unknown>>();

  const after = (ms: number, run: () => void) => {
    const timer = { at: elapsedMs + ms, order: order++, run };
    timers.push(timer);
    return () => {
      timers = timers.filter((one) => one !== timer);
    };
  };
  const quiet = async () => {
    for (let calm = 0; calm < 3; calm = underWay.size > 0 ? 0 : calm + 1) {
      await Promise.allSettled(underWay);
      await setImmediate();
    }
  };
  return {
    now: () => startMs + elapsedMs,
    elapsed: () => elapsedMs,
    timeOriginMs: () => startMs,
    random() {
      // https://en.wikipedia.org/wiki/Linear_congruential_generator
      state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
      return state / 2 ** 32;
    },
    after,
    sleep: (ms) => new Promise((resolve) => void after(ms, resolve)),
    async advance(ms) {
      const end = elapsedMs + ms;
      await quiet();
      for (;;) {
        const [next] = timers.toSorted((a, b) => a.at - b.at || a.order - b.order);
        if (!next || next.at > end) break;
        timers = timers.filter((one) => one !== next);
        elapsedMs = Math.max(elapsedMs, next.at);
        next.run();
        await quiet();
      }
      elapsedMs = end;
    },
    quiet,
    track: (object) =>
      new Proxy(object, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (typeof value !== 'function') return value;
          return (...args: unknown[]) => {
            const result = Reflect.apply(value, target, args);
            if (!(result instanceof Promise)) return result;
            underWay.add(result);
            return result.finally(() => underWay.delete(result));
          };
        },
      }),
  };
}
