/**
 * Scenarios: plans of a few steps that rarely come together in a mixture of everything. The order of the steps is given; the
 * replicas, devices and times are random. Every sixth seed runs one of them, in turn.
 */

import type { Choices } from './fleet.ts';
import { anyDevice, anyReplica, type Params } from './steps/step.ts';
import { planStep, type Step } from './steps.ts';
import { between, oneOf, type Random } from './world/random.ts';

type Scenario = {
  /** Settings without which it shows nothing. */
  readonly choices?: Partial<Choices>;
  readonly plan: (random: Random) => readonly Step[];
};

/** A replica has been up for this long, without any trouble. */
const CALM_MS = 8000;

/** Devices with larger numbers visit only once, so that no limit stops them. */
const FIRST_NEW_DEVICE = 100;

/** New devices visit one replica regularly. */
function visits(random: Random, replica: number, fromMs: number, untilMs: number, everyMs = 300): Step[] {
  const count = Math.floor((untilMs - fromMs) / everyMs);
  return Array.from({ length: count }, (_, index) =>
    planStep(random, fromMs + index * everyMs, 'visit', {
      replica,
      device: FIRST_NEW_DEVICE + Math.floor(fromMs) + index,
    }),
  );
}

const WITH_TOKEN = 'has its access token';

/** Suspends a replica, acts meanwhile, and lets visitors wait for it. Returns the steps, and the time after the end. */
function whileSuspended(random: Random, fromMs: number, forMs: number, act: readonly [kind: string, params: Params]) {
  const replica = anyReplica(random);
  const untilMs = fromMs + forMs;
  const steps = [
    ...visits(random, replica, fromMs - 1500, fromMs),
    planStep(random, fromMs, 'pause', { replica, ms: forMs }),
    planStep(random, fromMs + between(random, 100, 900), ...act),
    ...visits(random, replica, untilMs - between(random, 5, 400), untilMs + 300, 40),
    planStep(random, untilMs - between(random, 5, 400), 'restore', { device: 1, other: replica, first: WITH_TOKEN }),
  ];
  return { steps, endMs: untilMs + 3000 };
}

const scenarios: Readonly<Record<string, Scenario>> = {
  'a rotation while a check is in progress': {
    choices: { replicas: 2, ledger: 'PostgreSQL', signer: 'in the process', requestsPerHour: 3500 },
    plan(random) {
      const replica = anyReplica(random);
      const from = `replica ${replica}`;
      const rotation = (atMs: number, to: number) =>
        planStep(random, atMs, 'rotate', { to, killedMs: 0, silent: 'ignored' });
      return [
        planStep(random, CALM_MS - 10, 'network', { fault: 'is extremely slow (4 s)', from, to: 'Apple', ms: 45_000 }),
        ...[0, 12_000, 24_000].map((ms) => planStep(random, CALM_MS + ms, 'SIGHUP', { replica })),
        ...[1, 2, 0].map((to, index) => rotation(CALM_MS + index * 12_000 + between(random, 3000, 8000), to)),
        ...visits(random, replica, CALM_MS + 2000, CALM_MS + 44_000, 500),
      ];
    },
  },
  'orders while a replica is suspended': {
    choices: { replicas: 1, ledger: 'PostgreSQL', signer: 'in the process' },
    plan(random) {
      const device = 1;
      const steps = [
        planStep(random, CALM_MS - 3000, 'visit', { device }),
        planStep(random, CALM_MS - 2000, 'restore', { device, first: 'exchanges the token of its link' }),
      ];
      for (let round = 0, atMs = CALM_MS; round < 3; round++) {
        const order = { act: oneOf(random, ['stop', 'hold']), version: 2, killedMs: 0, untilMs: 8000 };
        const suspended = whileSuspended(random, atMs, between(random, 5000, 7000), ['order', order]);
        steps.push(...suspended.steps, planStep(random, suspended.endMs, 'order', { ...order, act: 'release' }));
        atMs = suspended.endMs + 4000;
      }
      return steps;
    },
  },
  'an order while a replica is suspended that could not read the orders': {
    choices: { replicas: 2, ledger: 'PostgreSQL', signer: 'in the process' },
    plan(random) {
      const { steps } = whileSuspended(random, CALM_MS, between(random, 9000, 11_000), ['visit', {}]);
      const act = oneOf(random, ['stop', 'hold']);
      return [
        planStep(random, CALM_MS - 5000, 'PostgreSQL', { fault: 'fails over', ms: 5300 }),
        planStep(random, CALM_MS + between(random, 500, 1500), 'order', {
          act,
          version: 2,
          killedMs: 0,
          untilMs: 20_000,
        }),
        ...steps,
      ];
    },
  },
  'a rotation while a replica is suspended': {
    choices: { replicas: 2, ledger: 'PostgreSQL', signer: 'in the process', requestsPerHour: 3500 },
    plan(random) {
      const rotation = (to: number) => ['rotate', { to, killedMs: 0, silent: 'ignored' }] as const;
      const first = whileSuspended(random, CALM_MS, between(random, 15_000, 20_000), rotation(1));
      const second = whileSuspended(random, first.endMs + 4000, between(random, 15_000, 20_000), rotation(2));
      return [...first.steps, ...second.steps];
    },
  },
  'devices that return after a lifetime': {
    choices: { replicas: 2, ledger: 'SQLite', lifetimeSeconds: 60, evidence: 'tap' },
    plan(random) {
      const install = (device: number, atMs: number) =>
        planStep(random, CALM_MS + atMs, 'install', { device, afterMs: between(random, 200, 2000) });
      const visit = (device: number, atMs: number) => planStep(random, CALM_MS + atMs, 'visit', { device });
      const [owner, thief] = [8, 9];
      return [
        ...[1, 2, 3].map((device) => install(device, device * 500)),
        visit(owner, 500),
        visit(thief, 600),
        planStep(random, CALM_MS + 2500, 'stolen nonce', { device: thief, of: owner }),
        install(1, 20_000),
        // Those that installed return by themselves.
        visit(owner, 67_000),
        visit(thief, 67_500),
      ];
    },
  },
  'quiet times': {
    choices: { replicas: 3, checkSeconds: 10, requestsPerHour: 3500 },
    plan: (random) => [planStep(random, 140_000, 'visit', { device: 1 })],
  },
  'restores of versions on hold': {
    plan(random) {
      const devices = [1, 2, 3, 4];
      const restores = (atMs: number, first: string) =>
        devices.map((device) =>
          planStep(random, atMs + device * 100, 'restore', {
            device,
            first,
            request: oneOf(random, ['restore', 'update']),
          }),
        );
      return [
        ...devices.map((device) => planStep(random, CALM_MS + device * 50, 'visit', { device })),
        ...restores(CALM_MS + 500, 'exchanges the token of its link'),
        planStep(random, CALM_MS + 2000, 'order', { act: 'hold', version: 2, killedMs: 0 }),
        ...restores(CALM_MS + 7000, WITH_TOKEN),
        planStep(random, CALM_MS + 9000, 'order', { act: 'release', version: 2, killedMs: 0 }),
        planStep(random, CALM_MS + 9500, 'order', { act: 'hold', version: 1, killedMs: 0 }),
        ...restores(CALM_MS + 15_000, 'refreshes its access token'),
      ];
    },
  },
  'a flood while Redis is down': {
    choices: { usesRedis: true },
    plan: (random) => [
      planStep(random, CALM_MS, 'Redis', { ms: 6000 }),
      planStep(random, CALM_MS + 1000, 'visit', { device: 1, replica: 1 }),
      planStep(random, CALM_MS + between(random, 2000, 5000), 'flood', { device: 1, requests: 180 }),
      planStep(random, CALM_MS + 12_000, 'flood', { device: 1, requests: 60 }),
    ],
  },
  'known devices while PostgreSQL fails': {
    choices: { replicas: 1, ledger: 'PostgreSQL', lifetimeSeconds: 60, whenDown: 'issue' },
    plan(random) {
      const devices = [1, 2, 3, 4];
      const failsAt = CALM_MS + 66_000;
      return [
        ...devices.map((device) =>
          planStep(random, CALM_MS + device * 300, 'install', { device, afterMs: between(random, 200, 1000) }),
        ),
        planStep(random, failsAt, 'PostgreSQL', { ms: 8000 }),
        ...devices.map((device) => planStep(random, failsAt + between(random, 500, 7000), 'visit', { device })),
      ];
    },
  },
  'rotations that are killed': {
    choices: { replicas: 2, requestsPerHour: 3500 },
    plan: (random) => [
      planStep(random, CALM_MS, 'rotate', { to: 1, killedMs: between(random, 300, 6000) }),
      ...visits(random, anyReplica(random), CALM_MS + 1000, CALM_MS + 12_000, 500),
      planStep(random, CALM_MS + between(random, 8000, 16_000), 'rotate', {
        to: 2,
        killedMs: between(random, 0, 6000),
      }),
      ...visits(random, anyReplica(random), CALM_MS + 17_000, CALM_MS + 24_000, 500),
    ],
  },
  'rotations one after another': {
    choices: { replicas: 2, requestsPerHour: 3500 },
    plan: (random) =>
      [1, 2].flatMap((to, index) => [
        planStep(random, CALM_MS + index * 15_000, 'rotate', { to, killedMs: 0 }),
        ...[1, 2].flatMap((replica) =>
          visits(random, replica, CALM_MS + index * 15_000 + 200, CALM_MS + index * 15_000 + 5000, 170),
        ),
      ]),
  },
  'refresh tokens that were copied': {
    plan(random) {
      const device = anyDevice(random);
      const later = (atMs: number) => planStep(random, CALM_MS + atMs, 'copied refresh token', { device });
      return [
        planStep(random, CALM_MS, 'visit', { device }),
        planStep(random, CALM_MS + 300, 'restore', { device, first: 'exchanges the token of its link' }),
        ...[1000, 2000, 3000, 4000, 5000].map(later),
      ];
    },
  },
  'writes that are cut off': {
    choices: { audits: true },
    plan: (random) =>
      [0, 1, 2, 3].flatMap((round) => {
        const replica = anyReplica(random);
        const when = 'in the middle of its next write';
        const atMs = 3000 + round * 5000;
        return [
          planStep(random, atMs, 'kill', { replica, ms: between(random, 200, 800), disk: 'kept', when }),
          ...visits(random, replica, atMs - 500, atMs + 4000, 250),
        ];
      }),
  },
  'signatures with another version in Vault': {
    choices: { signer: 'Vault', requestsPerHour: 3500 },
    plan: (random) => [
      planStep(random, 2000, 'rotation in Vault', { number: 0 }),
      ...[4000, 12_000].map((atMs) =>
        planStep(random, atMs, 'Vault', { fault: 'signing with another version', ms: between(random, 1000, 5000) }),
      ),
      ...[1, 2, 3].flatMap((replica) => visits(random, replica, 3900, 17_000, 900)),
    ],
  },
};

const SHARE = 6;

/** Returns the scenario of a seed, if it has one. */
export function scenarioOf(seed: number): Scenario | undefined {
  const all = Object.values(scenarios);
  return seed % SHARE === 0 ? all[(seed / SHARE) % all.length] : undefined;
}
