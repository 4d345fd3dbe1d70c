/**
 * The scheduler of a simulation: virtual time that stands still while code runs, and jumps from event to event. Every
 * timer, message and disk access of the fleet is one event. Events at the same time run in the order in which they were made.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import type { Random } from './random.ts';

/** One process of the fleet, from its start to its end. Everything that its code causes belongs to it. */
export type Machine = {
  readonly name: string;
  readonly random: Random;
  /** False once it was killed: its timers never fire, and nothing that it waits for ever arrives. */
  isAlive: boolean;
  /** While it is suspended, its events and what arrives for it are held. */
  isSuspended: boolean;
  /** Called when it is resumed, in this order. */
  held: (() => void)[];
  /** When it was last resumed. */
  resumedAt: number;
  /** Its wall clock minus the true time. */
  readonly wallOffsetMs: () => number;
  /** No interval timers: the measurement of the real event loop means nothing in virtual time. */
  hasIntervals: boolean;
  /** Called when it is killed. */
  readonly onKill: Set<() => void>;
};

type Event = { at: number; readonly order: number; readonly machine: Machine | null; run: (() => void) | undefined };

const current = new AsyncLocalStorage<Machine>();
const turn = globalThis.setImmediate;

/** The machine whose code runs now; undefined for the simulation itself. */
export const machineNow = (): Machine | undefined => current.getStore();

/** Runs code on behalf of a machine. */
export const within = <T>(machine: Machine, work: () => T): T => current.run(machine, work);

const START_MS = Date.parse('2026-11-26T10:00:00Z');

let heap: Event[] = [];
let made = 0;
let nowMs = START_MS;
let executed = 0;
let skipped = 0;
let skippedAt = 0;
/** Calls of real threads, such as WebCrypto's, in the order in which they were made. */
let calls: (() => Promise<void>)[] = [];

/** The true time, in milliseconds since 1970. */
export const trueTime = (): number => nowMs;
/** The time since the run began. */
export const elapsedMs = (): number => nowMs - START_MS;
/** The total time that `skip` has skipped. */
export const skippedMs = (): number => skipped;
/** When `skip` last ended; 0 if it was not called. */
export const lastSkippedAt = (): number => skippedAt;
export const eventsExecuted = (): number => executed;

/** Begins a new run: no event is left of the one before. */
export function resetScheduler(): void {
  heap = [];
  calls = [];
  made = executed = skipped = skippedAt = 0;
  nowMs = START_MS;
}

/**
 * Runs `run` after this time, on behalf of `machine` (null: of the simulation itself). Returns the function that cancels
 * it.
 */
export function schedule(afterMs: number, run: () => void, machine: Machine | null = machineNow() ?? null): () => void {
  const event: Event = { at: nowMs + Math.max(0, afterMs), order: made++, machine, run };
  push(event);
  return () => {
    event.run = undefined;
  };
}

/** What a machine would have done while it was suspended happens now. */
export function resume(machine: Machine): void {
  if (machine.isSuspended) machine.resumedAt = nowMs;
  machine.isSuspended = false;
  const { held } = machine;
  machine.held = [];
  for (const release of held) release();
}

/** Lets time pass in which nothing happens: all waiting events are delayed. */
export function skip(ms: number): void {
  nowMs += ms;
  skipped += ms;
  skippedAt = nowMs;
  for (const event of heap) event.at += ms;
}

/** Resolves after this time. Never, if the machine that waits is killed. */
export const wait = (ms: number, machine: Machine | null = machineNow() ?? null): Promise<void> =>
  new Promise((resolve) => void schedule(ms, resolve, machine));

/**
 * Calls a function whose promise another thread settles. The results are released one after another, in the order of
 * the calls, so that the threads' speed changes nothing.
 */
export function callThread<T>(work: () => Promise<T>): Promise<T> {
  const machine = machineNow();
  const working = work();
  working.catch(() => undefined);
  return new Promise((resolve, reject) => {
    calls.push(async () => {
      const release = await working.then(
        (value) => () => resolve(value),
        (error) => () => reject(error),
      );
      if (machine?.isAlive ?? true) release();
    });
  });
}

/** Resolves when the running code can continue only after another event. */
async function quiet(): Promise<void> {
  for (;;) {
    await new Promise((resolve) => turn(resolve));
    const call = calls.shift();
    if (!call) return;
    await call();
  }
}

/** Runs events for this time. `after` is called after each. */
export async function runFor(ms: number, after: () => void): Promise<void> {
  let isOver = false;
  schedule(
    ms,
    () => {
      isOver = true;
    },
    null,
  );
  await quiet();
  for (let next = heap[0]; next && !isOver; next = heap[0]) {
    pop();
    const { run, machine } = next;
    if (!run || machine?.isAlive === false) continue;
    if (machine?.isSuspended) {
      machine.held.push(() => {
        next.at = nowMs;
        push(next);
      });
      continue;
    }
    nowMs = next.at;
    executed += 1;
    next.run = undefined;
    if (machine) within(machine, run);
    else run();
    await quiet();
    after();
  }
}

const isBefore = (one: Event, other: Event): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order);

/** A binary heap, because a list that is sorted for each event takes most of a run's time. */
function push(event: Event): void {
  let index = heap.length;
  heap.push(event);
  while (index > 0) {
    const above = (index - 1) >> 1;
    const parent = heap[above] as Event;
    if (!isBefore(event, parent)) break;
    heap[index] = parent;
    index = above;
  }
  heap[index] = event;
}

function pop(): void {
  const last = heap.pop();
  if (!last || heap.length === 0) return;
  let index = 0;
  for (;;) {
    const left = index * 2 + 1;
    if (left >= heap.length) break;
    const right = left + 1;
    const below = right < heap.length && isBefore(heap[right] as Event, heap[left] as Event) ? right : left;
    if (!isBefore(heap[below] as Event, last)) break;
    heap[index] = heap[below] as Event;
    index = below;
  }
  heap[index] = last;
}
