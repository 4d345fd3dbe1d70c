/** Runs one plan from its first event to its end, and examines the invariants after every event. */

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Fleet, openFleet } from './fleet.ts';
import { gapMs } from './invariants/invariant.ts';
import { examine, examineAll } from './invariants.ts';
import { order, resetCommands } from './people/operators.ts';
import { visit } from './people/visitors.ts';
import { kill, start } from './replica.ts';
import { scenarioOf } from './scenarios.ts';
import { describeStep, planSteps, runStep, type Step } from './steps.ts';
import { followStored, resetStored } from './stored-orders.ts';
import { postgres } from './world/postgres.ts';
import { randomOf } from './world/random.ts';
import { elapsedMs, eventsExecuted, runFor, schedule, skippedMs } from './world/scheduler.ts';

export type Outcome = {
  readonly violation: { readonly invariant: string; readonly detail: string } | undefined;
  readonly trace: readonly string[];
  readonly events: number;
  readonly simulatedMs: number;
  /** Without the time in which everything was suspended. */
  readonly activeMs: number;
  readonly tokens: number;
  readonly answers: number;
  readonly history: typeof postgres.history;
};

/** A folder in memory, if the system has one. */
const FOLDER = join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), `webdist-simulation-${process.pid}`);

/** Returns the plan of a seed, which is always the same for the same seed and length. */
export function planOf(seed: number, lengthMs: number): readonly Step[] {
  const random = randomOf(seed, 'plan');
  const planned = scenarioOf(seed)?.plan(random) ?? planSteps(random, lengthMs);
  return planned.toSorted((one, other) => one.atMs - other.atMs);
}

/** Before the first step, so that some runs begin with replicas that are ready. */
const START_MS = 4000;

/** The pause between two checks, at the end of a run, whether every replica serves. */
const REST_MS = 2000;

/** Runs the steps. `seed` also chooses the settings and everything that is random in the world. */
export async function run(seed: number, plan: readonly Step[], keepsHistory = false): Promise<Outcome> {
  resetCommands();
  resetStored();
  const given = scenarioOf(seed)?.choices;
  const fleet = openFleet(seed, { folder: FOLDER, keepsHistory, given }, (opened, request) =>
    examine(opened, 'onApple', request),
  );
  const { facts, note, choices } = fleet;
  note(
    'settings',
    Object.entries(choices)
      .map(([name, value]) => `${name} ${value}`)
      .join(', '),
  );
  for (const replica of fleet.replicas) start(fleet, replica);
  for (const step of plan)
    schedule(
      START_MS + step.atMs,
      () => {
        note('STEP', describeStep(step));
        runStep(fleet, step);
      },
      null,
    );
  const after = () => {
    followStored(fleet);
    examineAll(fleet, 'always');
    if (facts.violation) throw new Ended();
  };
  try {
    const last = plan.at(-1)?.atMs ?? 0;
    await runFor(START_MS + last + 1000, after);
    await settle(fleet, after);
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
  }
  for (const replica of fleet.replicas) kill(fleet, replica);
  fleet.close();
  return {
    violation: facts.violation,
    trace: fleet.trace,
    events: eventsExecuted(),
    simulatedMs: elapsedMs(),
    activeMs: elapsedMs() - skippedMs(),
    tokens: facts.tokens,
    answers: facts.answers,
    history: postgres.history,
  };
}

/** Thrown to leave the scheduler after a violation. */
class Ended extends Error {}

/** Ends all faults, repairs what people broke, and waits until every replica serves, for as long as that may take. */
async function settle(fleet: Fleet, after: () => void): Promise<void> {
  const { facts, note, replicas } = fleet;
  note('STEP', 'all faults end');
  for (const end of [...facts.faults.values()]) end();
  fleet.apple.resetLimit();
  for (const replica of replicas) start(fleet, replica);
  await runFor(REST_MS, after);
  void order(fleet, { act: 'start' });
  // A rotation that is still in progress pauses the replicas once more.
  const areReady = () => facts.rotations === 0 && replicas.every(({ service }) => service?.health().ready);
  for (let waitedMs = 0; waitedMs < gapMs(fleet) && !areReady(); waitedMs += REST_MS) await runFor(REST_MS, after);
  for (const [index, replica] of replicas.entries()) void visit(fleet, replica, `device ${index + 1}`);
  await runFor(REST_MS, after);
  examineAll(fleet, 'atTheEnd');
}
