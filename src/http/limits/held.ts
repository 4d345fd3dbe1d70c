/**
 * Holds responses back for about a second, with one timer for all of them. They are sent a few at a time, because clients
 * that send their next request at once would otherwise return together.
 */

import type { ServerResponse } from 'node:http';

/** Each takes about 4 KB, besides its socket. Further responses are sent at once. */
const MAX_HELD = 8000;

/** One slot of the timer. */
const SLOT_MS = 10;

/** Responses that wait to be sent. */
export type Held = {
  add(response: ServerResponse): void;
  /** Sends all of them now. */
  close(): void;
};

/** Passes each added response to `send`, between three quarters of `maxMs` and `maxMs` milliseconds later. */
export function openHeld(maxMs: number, send: (response: ServerResponse) => void): Held {
  const slots = Array.from({ length: Math.ceil(maxMs / SLOT_MS) }, (): ServerResponse[] => []);
  let next = 0;
  let count = 0;
  let timer: NodeJS.Timeout | undefined;
  const sendNext = () => {
    const due = slots[next] ?? [];
    slots[next] = [];
    next = (next + 1) % slots.length;
    count -= due.length;
    for (const response of due) send(response);
    if (count > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
  return {
    add(response) {
      if (count >= MAX_HELD || slots.length === 0) return send(response);
      const after = Math.floor(slots.length * (0.75 + Math.random() / 4));
      slots[(next + after) % slots.length]?.push(response);
      count += 1;
      timer ??= setInterval(sendNext, SLOT_MS);
    },
    close() {
      while (count > 0) sendNext();
    },
  };
}
