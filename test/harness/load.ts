/** Sends requests at a steady rate, for tests of what happens under load. */

import { setTimeout as delay } from 'node:timers/promises';

/** A busy machine sends less, and never so much at once that a replica refuses requests as overloaded. */
const MOST_UNDER_WAY = 60;

/** Calls `send` with 0, 1, 2 … until `end`, which resolves when all calls have ended. `send` must not throw. */
export function openLoad(perSecond: number, send: (index: number) => Promise<void>): { end(): Promise<void> } {
  const underWay = new Set<Promise<void>>();
  let isEnded = false;
  const load = (async () => {
    const began = performance.now();
    for (let sent = 0; !isEnded; ) {
      const due = Math.floor(((performance.now() - began) / 1000) * perSecond);
      for (; sent < due && underWay.size < MOST_UNDER_WAY; sent++) {
        const one = send(sent);
        underWay.add(one);
        void one.finally(() => underWay.delete(one));
      }
      // What was not sent in time is not sent later.
      sent = Math.max(sent, due);
      await delay(2);
    }
    await Promise.all(underWay);
  })();
  return {
    end() {
      isEnded = true;
      return load;
    },
  };
}
