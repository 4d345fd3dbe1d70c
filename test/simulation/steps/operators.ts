/** What operators do, also two at once, and killed in the middle. */

import { order, rotateTo } from '../people/operators.ts';
import { between, oneOf } from '../world/random.ts';
import { inSeconds, type Rows } from './step.ts';

export const operatorSteps: Rows = {
  order: {
    weight: 2,
    plan: (random) => ({
      act: oneOf(random, ['stop', 'start']),
      killedMs: random() < 0.2 ? between(random, 1, 40) : 0,
    }),
    describe: ({ act, killedMs }) =>
      `an operator runs keys ${act}${killedMs ? ` and is killed after ${killedMs} ms` : ''}`,
    run: (fleet, { act, killedMs }) => void order(fleet, act as 'stop', Number(killedMs) || undefined),
  },
  'two orders': {
    weight: 1,
    plan: () => ({}),
    describe: () => 'two operators run keys stop and keys start at once',
    run(fleet) {
      void order(fleet, 'stop');
      void order(fleet, 'start');
    },
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
