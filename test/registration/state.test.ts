/** Every event in every state that it can meet, as literal objects. */

import t from 'tap';
import { WebdistError } from '../../src/errors.ts';
import {
  initialDomainState,
  initialState,
  next,
  nextDomain,
  type RegistrationEvent,
  type RegistrationState,
} from '../../src/registration/state.ts';

const old = { keyId: 'old', spki: 'b2xk', seenAt: '2026-11-01T00:00:00.000Z' };
const fresh = { keyId: 'new', spki: 'bmV3', seenAt: '2026-11-26T00:00:00.000Z' };
const outage = new WebdistError('asc_outage', 'No response.');
const drift = new WebdistError('different_key_registered', 'Another key.');
const gone = new WebdistError('registration_missing', 'No key.');
const renumbered = new WebdistError('config_invalid', 'The app has another AppleItemID.');

const states = {
  unknown: {
    bundleId: 'com.example.app',
    registered: undefined,
    confirmed: false,
    problem: undefined,
    rotation: undefined,
    paused: false,
    generation: 0,
  },
  remembered: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: false,
    problem: undefined,
    rotation: undefined,
    paused: false,
    generation: 0,
  },
  signing: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: true,
    problem: undefined,
    rotation: undefined,
    paused: false,
    generation: 0,
  },
  troubled: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: true,
    problem: outage,
    rotation: undefined,
    paused: false,
    generation: 0,
  },
  announced: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: true,
    problem: undefined,
    rotation: 'announced',
    paused: false,
    generation: 0,
  },
  switching: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: true,
    problem: undefined,
    rotation: 'switching',
    paused: true,
    generation: 1,
  },
  abandoned: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: true,
    problem: undefined,
    rotation: 'abandoned',
    paused: true,
    generation: 2,
  },
  replacing: {
    bundleId: 'com.example.app',
    registered: old,
    confirmed: true,
    problem: undefined,
    rotation: undefined,
    paused: true,
    generation: 1,
  },
} satisfies Record<string, RegistrationState>;

type Name = keyof typeof states;
type Event = RegistrationEvent;

const confirmedOld = (generation: number): Event => ({ type: 'confirmed', generation, created: false, ...old });
const confirmedNew = (generation: number): Event => ({ type: 'confirmed', generation, created: true, ...fresh });
const failed = (problem: WebdistError, generation: number): Event => ({ type: 'failed', generation, problem });

/** What an event changes in a state; `same`: nothing, the object itself is returned. */
const table: readonly (readonly [Event, Partial<Record<Name, Partial<RegistrationState> | 'same'>>])[] = [
  [{ type: 'remembered', key: old }, { unknown: { registered: old } }],
  [{ type: 'remembered', key: undefined }, { unknown: {} }],
  [
    // Requested and answered before any step of a rotation.
    confirmedOld(0),
    {
      unknown: { registered: old, confirmed: true },
      remembered: { confirmed: true },
      signing: {},
      troubled: { problem: undefined },
      announced: {},
      // The critical case: requested before the pause, answered during it or after it. A stale answer must not end the
      // pause.
      switching: 'same',
      abandoned: 'same',
      replacing: 'same',
    },
  ],
  [
    confirmedNew(0),
    {
      unknown: { registered: fresh, confirmed: true },
      remembered: { registered: fresh, confirmed: true },
      signing: { registered: fresh },
      troubled: { registered: fresh, problem: undefined },
      announced: { registered: fresh },
      switching: 'same',
      abandoned: 'same',
      replacing: 'same',
    },
  ],
  // In the current generation, nothing is requested while switching. If there is an answer, it does not count.
  [confirmedOld(1), { switching: 'same', replacing: { paused: false }, signing: 'same' }],
  [
    confirmedOld(2),
    { abandoned: { paused: false, problem: { code: 'rotation_unfinished' } as WebdistError }, signing: 'same' },
  ],
  [
    confirmedNew(2),
    {
      abandoned: {
        registered: fresh,
        paused: false,
        problem: { code: 'rotation_unfinished' } as WebdistError,
      },
    },
  ],
  [
    // A failure that is not definite: the last known key keeps signing, and a pause continues.
    failed(outage, 0),
    {
      unknown: { problem: outage },
      remembered: { problem: outage },
      signing: { problem: outage },
      troubled: {},
      announced: { problem: outage },
      switching: 'same',
      abandoned: 'same',
      replacing: 'same',
    },
  ],
  [failed(outage, 2), { abandoned: { problem: outage } }],
  ...[drift, gone, renumbered].map(
    (problem) =>
      [
        // A definite failure: nothing is signed under the old key id.
        failed(problem, 0),
        {
          unknown: { problem },
          remembered: { problem, registered: undefined },
          signing: { problem, registered: undefined },
          troubled: { problem, registered: undefined },
          announced: { problem, registered: undefined },
          switching: 'same',
          abandoned: 'same',
          replacing: 'same',
        },
      ] as const,
  ),
  [failed(gone, 1), { switching: 'same', replacing: { problem: gone, registered: undefined, paused: false } }],
  [failed(gone, 2), { abandoned: { problem: gone, registered: undefined, paused: false } }],
  [
    // Another replica with the same keys has checked.
    { type: 'reported', registered: fresh, confirmed: true, paused: false, problem: undefined },
    {
      unknown: { registered: fresh, confirmed: true },
      remembered: { registered: fresh, confirmed: true },
      signing: { registered: fresh },
      troubled: { registered: fresh, problem: undefined },
      announced: { registered: fresh },
      switching: 'same',
      abandoned: { registered: fresh, paused: false },
      replacing: { registered: fresh, paused: false },
    },
  ],
  [
    { type: 'reported', registered: undefined, confirmed: false, paused: true, problem: gone },
    {
      unknown: { problem: gone },
      signing: { registered: undefined, problem: gone },
      switching: 'same',
      abandoned: { registered: undefined, problem: gone },
    },
  ],
  [
    { type: 'unchecked', problem: outage },
    {
      unknown: { problem: outage },
      signing: { problem: outage },
      announced: { problem: outage },
      switching: { problem: outage },
      abandoned: { problem: outage },
    },
  ],
  [
    { type: 'skipped' },
    {
      unknown: {},
      signing: {},
      announced: {},
      switching: {},
      abandoned: { paused: false },
      replacing: { paused: false },
    },
  ],
  [
    { type: 'announced' },
    {
      unknown: { rotation: 'announced' },
      signing: { rotation: 'announced' },
      announced: {},
      switching: { rotation: 'announced', generation: 2 },
      abandoned: { rotation: 'announced', generation: 3 },
      replacing: { rotation: 'announced', generation: 2 },
    },
  ],
  [
    { type: 'switching' },
    {
      unknown: { rotation: 'switching', paused: true, generation: 1 },
      signing: { rotation: 'switching', paused: true, generation: 1 },
      announced: { rotation: 'switching', paused: true, generation: 1 },
      switching: { generation: 2 },
      abandoned: { rotation: 'switching', generation: 3 },
    },
  ],
  [
    { type: 'abandoned', phase: 'announced' },
    { announced: { rotation: undefined }, switching: { rotation: 'abandoned', generation: 2 } },
  ],
  [
    { type: 'abandoned', phase: 'switching' },
    {
      unknown: { rotation: 'abandoned', generation: 1 },
      announced: { rotation: 'abandoned', generation: 1 },
      switching: { rotation: 'abandoned', generation: 2 },
    },
  ],
  [
    { type: 'withdrawn' },
    {
      announced: { rotation: undefined, generation: 1 },
      switching: { rotation: undefined, generation: 2 },
      abandoned: { rotation: undefined, generation: 3 },
    },
  ],
  [
    { type: 'replacing' },
    {
      unknown: { paused: true, generation: 1 },
      signing: { paused: true, generation: 1 },
      announced: { paused: true, generation: 1 },
      switching: { generation: 2 },
      abandoned: { generation: 3 },
    },
  ],
  [
    { type: 'replaced', ...fresh },
    {
      unknown: { registered: fresh, confirmed: true, generation: 1 },
      signing: { registered: fresh, generation: 1 },
      troubled: { registered: fresh, problem: undefined, generation: 1 },
      switching: { registered: fresh, rotation: undefined, paused: false, generation: 2 },
      abandoned: { registered: fresh, rotation: undefined, paused: false, generation: 3 },
      replacing: { registered: fresh, paused: false, generation: 2 },
    },
  ],
];

/** Errors are compared by their codes. */
const plain = (state: RegistrationState) => ({ ...state, problem: state.problem?.code });

for (const [event, rows] of table)
  for (const [name, changes] of Object.entries(rows)) {
    const before: RegistrationState = states[name as Name];
    const after = next(before, event);
    const label = `${name}, ${JSON.stringify(event)}`;
    if (changes === 'same') t.equal(after, before, label);
    else {
      t.strictSame(plain(after), plain({ ...before, ...changes }), label);
      t.ok(Object.isFrozen(after), 'frozen');
    }
  }

t.test('nothing is known at first', async (t) => {
  t.strictSame(initialState('com.example.app'), states.unknown);
});

t.test('the same key keeps the time at which it was first seen, and its object', async (t) => {
  const later: Event = { type: 'confirmed', generation: 0, created: false, ...old, seenAt: fresh.seenAt };
  t.equal(next(states.signing, later).registered, states.signing.registered);
});

t.test('one event after another', async (t) => {
  const steps: readonly (readonly [Event, Partial<RegistrationState>])[] = [
    [{ type: 'remembered', key: old }, { registered: old }],
    [{ type: 'announced' }, { rotation: 'announced', paused: false, generation: 0 }],
    [{ type: 'switching' }, { rotation: 'switching', paused: true, generation: 1 }],
    [confirmedOld(0), { registered: old, paused: true, generation: 1 }],
    [{ type: 'replacing' }, { paused: true, generation: 2 }],
    [
      { type: 'replaced', ...fresh },
      { registered: fresh, paused: false, rotation: undefined, generation: 3 },
    ],
    [confirmedOld(1), { registered: fresh, generation: 3 }],
    [failed(gone, 2), { registered: fresh, generation: 3 }],
    [confirmedNew(3), { registered: fresh, confirmed: true, generation: 3 }],
  ];
  let state: RegistrationState = states.unknown;
  for (const [event, expected] of steps) {
    state = next(state, event);
    t.match(state, expected, event.type);
  }
});

t.test('the domain', async (t) => {
  const unknown = { domain: 'example.com', confirmed: false, problem: undefined };
  const good = { domain: 'example.com', confirmed: true, problem: undefined };
  const troubled = { domain: 'example.com', confirmed: true, problem: outage };
  const confirmed = { type: 'confirmed', registeredDomain: 'example.com', created: true } as const;
  const failed = { type: 'failed', problem: outage } as const;
  t.strictSame(initialDomainState('example.com'), unknown);
  t.strictSame(nextDomain(unknown, confirmed), good);
  t.strictSame(nextDomain(troubled, confirmed), good);
  t.strictSame(nextDomain(good, failed), troubled);
  t.strictSame(nextDomain(unknown, failed), { ...troubled, confirmed: false });
  t.strictSame(nextDomain(unknown, { type: 'reported', confirmed: true, problem: undefined }), good);
  t.strictSame(nextDomain(good, { type: 'reported', confirmed: false, problem: outage }), troubled);
  t.ok(Object.isFrozen(nextDomain(unknown, confirmed)));
});
