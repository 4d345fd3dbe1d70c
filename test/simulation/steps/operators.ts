/** What operators do, sometimes two at a time, and with commands that are killed while they run. */

import type { Fleet } from '../fleet.ts';
import { type Given, order, rotateTo } from '../people/operators.ts';
import { between, oneOf, type Random } from '../world/random.ts';
import { schedule, trueTime, within } from '../world/scheduler.ts';
import { anyReplica, durationMs, inSeconds, type Params, type Rows, replicaOf } from './step.ts';

/** The version by its number (see Packages.version). */
const anyOrder = (random: Random) => ({
  act: oneOf(random, ['stop', 'stop', 'start', 'hold', 'hold', 'release', 'use']),
  version: between(random, 1, 4),
});

const describeOrder = ({ act, version }: Params) =>
  act === 'stop' || act === 'start' ? `keys ${act}` : `packages ${act} for version ${version}`;

function orderOf({ packages }: Fleet, { act, version }: Params): Given {
  const appleVersionId = packages.version(Number(version));
  if (act === 'hold' || act === 'release' || act === 'use') return { act, appleVersionId };
  return { act: act === 'stop' ? 'stop' : 'start' };
}

export const operatorSteps: Rows = {
  order: {
    weight: 4,
    plan: (random) => ({
      ...anyOrder(random),
      killedMs: random() < 0.2 ? between(random, 1, 40) : 0,
      // Otherwise, a stop would hide everything else that can happen in a run.
      untilMs: durationMs(random),
    }),
    describe: ({ killedMs, untilMs, ...given }) =>
      `an operator runs ${describeOrder(given)}${killedMs ? ` and is killed after ${killedMs} ms` : ''}` +
      `${given['act'] === 'stop' ? `, and keys resume ${inSeconds(untilMs)} later` : ''}`,
    run(fleet, params) {
      void order(fleet, orderOf(fleet, params), Number(params['killedMs']) || undefined);
      if (params['act'] === 'stop')
        schedule(Number(params['untilMs']), () => void order(fleet, { act: 'start' }), null);
    },
  },
  'two orders': {
    weight: 1,
    plan(random) {
      const [one, other] = [anyOrder(random), anyOrder(random)];
      return { ...one, otherAct: other.act, otherVersion: other.version };
    },
    describe: ({ otherAct: act = '', otherVersion: version = 0, ...one }) =>
      `two operators run ${describeOrder(one)} and ${describeOrder({ act, version })} at once`,
    run(fleet, { otherAct: act = '', otherVersion: version = 0, ...one }) {
      void order(fleet, orderOf(fleet, one));
      void order(fleet, orderOf(fleet, { act, version }));
    },
  },
  SIGHUP: {
    weight: 1,
    plan: (random) => ({ replica: anyReplica(random) }),
    describe: ({ replica }) => `an operator sends SIGHUP to replica ${replica}, which checks at Apple`,
    run(fleet, params) {
      const { service, machine } = replicaOf(fleet, params);
      if (!service || !machine || machine.isSuspended) return;
      // A check more than usual.
      fleet.facts.troubledAt = trueTime();
      void within(machine, () => service.reconcile());
    },
  },
  'new version': {
    weight: 1,
    plan: () => ({}),
    describe: () => 'a new version is pulled into the packages folder',
    run: (fleet) => fleet.note('packages', `version ${fleet.packages.publish()} is published`),
  },
  rotate: {
    weight: 1.5,
    plan: (random) => ({
      to: between(random, 0, 2),
      killedMs: random() < 0.3 ? between(random, 1, 5000) : 0,
      silent: oneOf(random, ['waited for', 'ignored']),
    }),
    describe: ({ to, killedMs, silent }) =>
      `an operator rotates to key ${to}, with silent replicas ${silent}${killedMs ? `, and is killed after ${inSeconds(killedMs)}` : ''}`,
    run: (fleet, { to, killedMs, silent }) =>
      void rotateTo(fleet, Number(to), {
        killedAfterMs: Number(killedMs) || undefined,
        ignoresSilent: silent === 'ignored',
      }),
  },
  'two rotations': {
    weight: 0.5,
    plan: (random) => ({ to: between(random, 0, 2), other: between(random, 0, 2) }),
    describe: ({ to, other }) => `two operators rotate at once, to key ${to} and to key ${other}`,
    run(fleet, { to, other }) {
      void rotateTo(fleet, Number(to), { ignoresSilent: true });
      void rotateTo(fleet, Number(other), { ignoresSilent: true });
    },
  },
};
