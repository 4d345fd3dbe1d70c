/**
 * What can happen in a run: traffic, the orders of operators, and everything that goes wrong. A plan is a list of steps that
 * follows from the seed alone. To add a fault, add a row to a table in `steps/`.
 */

import type { Fleet } from './fleet.ts';
import { deviceSteps } from './steps/devices.ts';
import { operatorSteps } from './steps/operators.ts';
import { replicaSteps } from './steps/replicas.ts';
import type { Params, Row, Rows } from './steps/step.ts';
import { surroundingSteps } from './steps/surroundings.ts';
import { visitorSteps } from './steps/visitors.ts';
import { between, oneOf, type Random } from './world/random.ts';

/** One thing that happens, at a time since the start of the run. */
export type Step = { readonly atMs: number; readonly kind: string; readonly params: Params };

const steps: Rows = { ...visitorSteps, ...deviceSteps, ...operatorSteps, ...replicaSteps, ...surroundingSteps };

/** What a step is, in one sentence. */
export const describeStep = ({ kind, params }: Step): string => rowOf(kind).describe(params);

/** Plans one step of this kind. `given` replaces random parameters. */
export const planStep = (random: Random, atMs: number, kind: string, given: Params): Step => ({
  atMs,
  kind,
  params: { ...rowOf(kind).plan(random), ...given },
});

function rowOf(kind: string): Row {
  const row = steps[kind];
  if (!row) throw new Error(`There is no step "${kind}".`);
  return row;
}

export const runStep = (fleet: Fleet, { kind, params }: Step): void => rowOf(kind).run(fleet, params);

function chooseWeighted<T extends { readonly weight: number }>(rows: readonly T[], point: number): T | undefined {
  let below = 0;
  return rows.find(({ weight }) => {
    below += weight;
    return point < below;
  });
}

/**
 * Plans the steps of a run of this many milliseconds. Each run leaves out some kinds of steps and has more of others,
 * because a mixture of everything hides what needs several steps of one kind (Groce et al., "Swarm Testing", ISSTA 2012).
 */
export function planSteps(random: Random, lengthMs: number): Step[] {
  const faults = oneOf(random, [0, 0.3, 1, 1, 3]);
  const rows = Object.entries(steps).map(([kind, row]) => {
    const share = row.isTraffic ? 1 : oneOf(random, [0, 1, 1, 6]);
    return { kind, row, weight: row.weight * share * (row.isFault ? faults : 1) };
  });
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  // A short run is a dense one.
  const gapMs = Math.min(oneOf(random, [300, 1000, 3000]), Math.ceil(lengthMs / 5));
  const planned: Step[] = [];
  const plan = (atMs: number, kind: string, row: Row): Step => {
    const step = { atMs, kind, params: row.plan(random) };
    planned.push(step);
    return step;
  };
  const orders = Object.entries(operatorSteps).map(([kind, row]) => ({ kind, row, weight: row.weight }));
  const ordersTotal = orders.reduce((sum, { weight }) => sum + weight, 0);
  for (let atMs = between(random, 0, 3000); atMs < lengthMs; atMs += between(random, 1, gapMs)) {
    const chosen = chooseWeighted(rows, random() * total);
    if (!chosen) continue;
    const { params } = plan(atMs, chosen.kind, chosen.row);
    // Operators act during faults, when their actions are most likely to fail.
    const lastsMs = chosen.row.isFault ? Number(params['ms'] ?? 0) : 0;
    if (lastsMs < 1000 || random() > (chosen.row.actShare ?? ACT_SHARE)) continue;
    const order = chooseWeighted(orders, random() * ordersTotal);
    if (order) plan(atMs + between(random, 1, lastsMs), order.kind, order.row);
  }
  return planned;
}

/** The share of the faults during which an operator acts. */
const ACT_SHARE = 0.4;
