/**
 * What can happen in a run: traffic, the orders of operators, and everything that goes wrong. A plan is a list of steps that
 * follows from the seed alone. To add a fault, add a row.
 */

import { beginFault, deviceOf } from './facts.ts';
import { DOMAIN, type Fleet, type Replica } from './fleet.ts';
import { order, probe, rotateTo, sendEvidence, sendStolen, visit } from './people.ts';
import { kill, loseDisk, start, stop } from './replica.ts';
import { type DiskFault, setDiskFault } from './world/disk.ts';
import { type LinkFault, setLinkFault } from './world/network.ts';
import { failOver, postgres } from './world/postgres.ts';
import { between, oneOf, type Random } from './world/random.ts';
import { redis } from './world/redis.ts';
import { schedule, skip, trueTime } from './world/scheduler.ts';

/** Numbers and words, so that a plan can be printed. */
type Params = Readonly<Record<string, number | string>>;

/** One thing that happens, at a time since the start of the run. */
export type Step = { readonly atMs: number; readonly kind: string; readonly params: Params };

type Row = {
  /** How often it happens, compared with other rows. */
  readonly weight: number;
  readonly isFault?: boolean;
  /** It is a part of every run. */
  readonly isTraffic?: boolean;
  readonly plan: (random: Random) => Params;
  readonly describe: (params: Params) => string;
  readonly run: (fleet: Fleet, params: Params) => void;
};

const number = (params: Params, name: string) => Number(params[name]);
const replicaOf = (fleet: Fleet, params: Params): Replica => {
  const replica = fleet.replicas[number(params, 'replica') - 1];
  if (!replica) throw new Error('There is no such replica.');
  return replica;
};
const anyReplica = (random: Random) => between(random, 1, 3);
const DEVICES = 12;
const durationMs = (random: Random) => Math.round(200 * 300 ** random());
const inSeconds = (ms: unknown) => `${(Number(ms) / 1000).toFixed(1)} s`;
const ignore = () => undefined;

/** A fault for a while. `begin` returns what ends it. `affectsStore`: replicas may be unable to use the stores. */
function forAWhile(fleet: Fleet, { ms }: Params, begin: () => () => void, affectsStore = false): void {
  const end = beginFault(fleet.facts, begin(), affectsStore);
  schedule(Number(ms), end, null);
}

/** Adds to the offset what the drift has made of it. */
function settleDrift(clock: Replica['clock']): void {
  clock.offsetMs += clock.driftPerMs * (trueTime() - clock.sinceMs);
  clock.sinceMs = trueTime();
}

const appleFaults = {
  'an outage (503)': { status: 503 },
  'an HTML page (502)': { status: 502, html: true },
  'an internal error (500)': { status: 500 },
  'a limit for a moment (429)': { status: 429, retryAfterSeconds: 3 },
  'the hourly limit (429)': { status: 429 },
  'a refused credential (401)': { status: 401 },
  'a missing role (403)': { status: 403 },
  'an expired agreement (403)': { status: 403, code: 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED' },
  'nothing found (404)': { status: 404, path: '/v1/apps' },
  'dropped connections': { drop: true },
  'dropped answers': { drop: 'after' },
  'dropped answers of writes': { drop: 'after', method: 'POST' },
  'slow answers (8 s)': { latencyMs: 8000 },
  'hanging answers (40 s)': { latencyMs: 40_000 },
  'a clock 45 s behind': { clockSkewSeconds: -45 },
  'a clock 20 s ahead': { clockSkewSeconds: 20 },
} as const;

const linkFaults: Readonly<Record<string, LinkFault>> = {
  'loses half of the messages': { loss: 0.5 },
  'loses a tenth of the messages': { loss: 0.1 },
  'is slow (150 ms)': { delayMs: 150 },
  'is very slow (2 s)': { delayMs: 2000 },
  'delivers requests twice': { twice: 0.5 },
  'is cut': { isCut: true },
};

const postgresFaults: Readonly<Record<string, () => () => void>> = {
  'fails over': () => {
    failOver(true);
    return () => failOver(false);
  },
  'commits and loses the answers': () => {
    postgres.losesAnswers = true;
    return () => {
      postgres.losesAnswers = false;
    };
  },
  'is slow (120 ms)': () => slow(120),
  'is too slow (400 ms)': () => slow(400),
  'has a full disk': () => {
    postgres.isFull = true;
    return () => {
      postgres.isFull = false;
    };
  },
};

function slow(ms: number) {
  postgres.serviceMs = ms;
  return () => {
    postgres.serviceMs = 0;
  };
}

/** The rows, by kind. */
const steps: Readonly<Record<string, Row>> = {
  visit: {
    weight: 40,
    isTraffic: true,
    plan: (random) => ({ replica: anyReplica(random), device: between(random, 1, DEVICES) }),
    describe: ({ device, replica }) => `device ${device} visits replica ${replica}`,
    run: (fleet, params) => void visit(fleet, replicaOf(fleet, params), `device ${params['device']}`),
  },
  install: {
    weight: 16,
    isTraffic: true,
    plan: (random) => ({
      replica: anyReplica(random),
      other: anyReplica(random),
      device: between(random, 1, DEVICES),
      afterMs: durationMs(random),
      by: oneOf(random, ['page', 'licence server']),
    }),
    describe: ({ device, replica, by, other, afterMs }) =>
      `device ${device} installs from replica ${replica}; after ${inSeconds(afterMs)} the ${by} reports it to replica ${other}`,
    async run(fleet, params) {
      const id = `device ${params['device']}`;
      if (!(await visit(fleet, replicaOf(fleet, params), id))) return;
      const other = replicaOf(fleet, { replica: number(params, 'other') });
      const report = async () => {
        await sendEvidence(fleet, other, id, params['by'] as 'page');
        // It returns in the second in which its `dtype` changes.
        const { evidenceStoredAt = trueTime() } = deviceOf(fleet.facts, id);
        const changesAt = (Math.floor(evidenceStoredAt / 1000) + fleet.choices.lifetimeSeconds) * 1000;
        schedule(changesAt + 50 - trueTime(), () => void visit(fleet, other, id), null);
      };
      schedule(number(params, 'afterMs'), () => void report(), null);
    },
  },
  crowd: {
    weight: 1,
    plan: (random) => ({ visitors: between(random, 20, 80), replica: anyReplica(random) }),
    describe: ({ visitors, replica }) => `a crowd of ${visitors} new devices visits, most of them replica ${replica}`,
    run(fleet, params) {
      for (let one = 0; one < number(params, 'visitors'); one++)
        void visit(
          fleet,
          replicaOf(fleet, { replica: one % 4 ? number(params, 'replica') : 1 }),
          `visitor ${trueTime()}-${one}`,
        );
    },
  },
  flood: {
    weight: 2,
    plan: (random) => ({ device: between(random, 1, DEVICES), requests: between(random, 30, 120) }),
    describe: ({ device, requests }) => `device ${device} sends ${requests} requests at once, to all replicas`,
    run(fleet, params) {
      for (let one = 0; one < number(params, 'requests'); one++)
        void visit(fleet, replicaOf(fleet, { replica: (one % 3) + 1 }), `device ${params['device']}`);
    },
  },
  'stolen nonce': {
    weight: 3,
    plan: (random) => ({
      replica: anyReplica(random),
      device: between(random, 1, DEVICES),
      of: between(random, 1, DEVICES),
    }),
    describe: ({ device, of, replica }) => `device ${device} reports the nonce of device ${of} to replica ${replica}`,
    run: (fleet, params) =>
      void sendStolen(fleet, replicaOf(fleet, params), `device ${params['device']}`, `device ${params['of']}`),
  },
  probe: {
    weight: 10,
    plan: (random) => ({ replica: anyReplica(random) }),
    describe: ({ replica }) => `readiness of replica ${replica} is compared with what it does`,
    run: (fleet, params) => void probe(fleet, replicaOf(fleet, params)),
  },
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
  kill: {
    weight: 4,
    isFault: true,
    plan: (random) => ({
      replica: anyReplica(random),
      ms: durationMs(random),
      disk: oneOf(random, ['kept', 'kept', 'lost']),
    }),
    describe: ({ replica, ms, disk }) =>
      `replica ${replica} is killed, and starts after ${inSeconds(ms)} with its disk ${disk}`,
    run(fleet, params) {
      const replica = replicaOf(fleet, params);
      kill(fleet, replica);
      if (params['disk'] === 'lost' && fleet.choices.ledger === 'PostgreSQL') {
        loseDisk(replica);
        fleet.facts.followed.delete(replica.name);
      }
      forAWhile(fleet, params, () => () => start(fleet, replica));
    },
  },
  restart: {
    weight: 1,
    isFault: true,
    plan: (random) => ({ replica: anyReplica(random), ms: durationMs(random) }),
    describe: ({ replica, ms }) =>
      `replica ${replica} is stopped as in a deployment, and starts after ${inSeconds(ms)}`,
    run(fleet, params) {
      const replica = replicaOf(fleet, params);
      stop(fleet, replica, ignore);
      forAWhile(fleet, params, () => () => {
        if (replica.state === 'up') kill(fleet, replica);
        start(fleet, replica);
      });
    },
  },
  pause: {
    weight: 2,
    isFault: true,
    plan: (random) => ({ replica: anyReplica(random), ms: durationMs(random) }),
    describe: ({ replica, ms }) => `replica ${replica} is suspended for ${inSeconds(ms)}`,
    run(fleet, params) {
      const { machine } = replicaOf(fleet, params);
      if (machine) machine.pausedUntil = Math.max(machine.pausedUntil, trueTime() + number(params, 'ms'));
      forAWhile(fleet, params, () => () => {
        if (machine) machine.pausedUntil = 0;
      });
    },
  },
  'clock jump': {
    weight: 2,
    isFault: true,
    plan: (random) => ({
      replica: anyReplica(random),
      seconds: oneOf(random, [-3600, -90, -20, -5, 5, 20, 90, 3600]),
      ms: durationMs(random),
    }),
    describe: ({ replica, seconds, ms }) =>
      `the clock of replica ${replica} jumps by ${seconds} s, and is set right after ${inSeconds(ms)}`,
    run(fleet, params) {
      const { clock } = replicaOf(fleet, params);
      const jumpMs = number(params, 'seconds') * 1000;
      clock.offsetMs += jumpMs;
      fleet.facts.largestOffsetMs = Math.max(fleet.facts.largestOffsetMs, Math.abs(clock.offsetMs));
      forAWhile(fleet, params, () => () => {
        clock.offsetMs -= jumpMs;
      });
    },
  },
  'clock drift': {
    weight: 1,
    isFault: true,
    plan: (random) => ({ replica: anyReplica(random), percent: oneOf(random, [-5, -1, 1, 5]), ms: durationMs(random) }),
    describe: ({ replica, percent, ms }) =>
      `the clock of replica ${replica} drifts by ${percent} % for ${inSeconds(ms)}`,
    run(fleet, params) {
      const replica = replicaOf(fleet, params);
      const driftPerMs = number(params, 'percent') / 100;
      const { clock } = replica;
      settleDrift(clock);
      clock.driftPerMs += driftPerMs;
      const mostMs = Math.abs(driftPerMs) * number(params, 'ms');
      fleet.facts.largestOffsetMs = Math.max(fleet.facts.largestOffsetMs, Math.abs(clock.offsetMs) + mostMs);
      forAWhile(fleet, params, () => () => {
        settleDrift(clock);
        clock.driftPerMs -= driftPerMs;
      });
    },
  },
  network: {
    weight: 5,
    isFault: true,
    plan: (random) => ({
      fault: oneOf(random, Object.keys(linkFaults)),
      from: oneOf(random, ['', '', 'replica 1', 'replica 2', 'replica 3']),
      to: oneOf(random, ['Apple', 'PostgreSQL', 'PostgreSQL', 'Redis', 'replica 1', 'replica 2', 'replica 3']),
      ms: durationMs(random),
    }),
    describe: ({ fault, from, to, ms }) =>
      `the link ${from ? `from ${from} ` : ''}to ${to} ${fault} for ${inSeconds(ms)}`,
    run(fleet, params) {
      const { from, to, fault } = params;
      const link = from ? `${from} to ${to}` : String(to);
      setLinkFault(link, linkFaults[String(fault)]);
      forAWhile(fleet, params, () => () => setLinkFault(link, undefined), true);
    },
  },
  Apple: {
    weight: 5,
    isFault: true,
    plan: (random) => ({ fault: oneOf(random, Object.keys(appleFaults)), ms: durationMs(random) }),
    describe: ({ fault, ms }) => `Apple answers with ${fault} for ${inSeconds(ms)}`,
    run(fleet, params) {
      const fault = appleFaults[params['fault'] as keyof typeof appleFaults];
      fleet.apple.faults.add(fault);
      if ('clockSkewSeconds' in fault)
        fleet.facts.largestOffsetMs = Math.max(fleet.facts.largestOffsetMs, Math.abs(fault.clockSkewSeconds) * 1000);
      forAWhile(fleet, params, () => () => fleet.apple.faults.clear());
    },
  },
  'key removed': {
    weight: 0.5,
    isFault: true,
    plan: (random) => ({ ms: 1000 * between(random, 10, 200) }),
    describe: ({ ms }) => `a person removes the key at Apple, and registers it again after ${inSeconds(ms)}`,
    run(fleet, params) {
      const removed = fleet.apple.keys[0];
      if (!removed) return;
      fleet.apple.change((account) => {
        account.keys = [];
      });
      forAWhile(fleet, params, () => () => {
        if (fleet.apple.keys.length > 0) return;
        fleet.apple.change((account) => {
          account.keys.push({ ...removed, id: `${removed.id.slice(0, -4)}${String(trueTime()).slice(-4)}` });
        });
      });
    },
  },
  'domain removed': {
    weight: 0.5,
    isFault: true,
    plan: (random) => ({ ms: durationMs(random) }),
    describe: ({ ms }) => `a person removes the domain at Apple, and registers it again after ${inSeconds(ms)}`,
    run(fleet, params) {
      const removed = fleet.apple.domains.find(({ domain }) => domain === DOMAIN);
      if (!removed) return;
      fleet.apple.change((account) => {
        account.domains = [];
      });
      forAWhile(fleet, params, () => () => {
        if (fleet.apple.domains.length === 0) fleet.apple.change((account) => void account.domains.push(removed));
      });
    },
  },
  PostgreSQL: {
    weight: 4,
    isFault: true,
    plan: (random) => ({ fault: oneOf(random, Object.keys(postgresFaults)), ms: durationMs(random) }),
    describe: ({ fault, ms }) => `PostgreSQL ${fault} for ${inSeconds(ms)}`,
    run: (fleet, params) => forAWhile(fleet, params, postgresFaults[String(params['fault'])] ?? (() => ignore), true),
  },
  Redis: {
    weight: 2,
    isFault: true,
    plan: (random) => ({ ms: durationMs(random) }),
    describe: ({ ms }) => `Redis is down for ${inSeconds(ms)}, and comes back without its data`,
    run: (fleet, params) =>
      forAWhile(fleet, params, () => {
        redis.isDown = true;
        return () => {
          redis.isDown = false;
          redis.entries.clear();
        };
      }),
  },
  disk: {
    weight: 2,
    isFault: true,
    plan: (random) => ({
      replica: anyReplica(random),
      fault: oneOf<DiskFault>(random, ['full', 'failing', 'slow']),
      ms: durationMs(random),
    }),
    describe: ({ replica, fault, ms }) => `the disk of replica ${replica} is ${fault} for ${inSeconds(ms)}`,
    run(fleet, params) {
      const { name } = replicaOf(fleet, params);
      setDiskFault(name, params['fault'] as DiskFault);
      fleet.facts.followed.delete(name);
      forAWhile(fleet, params, () => () => setDiskFault(name, undefined), true);
    },
  },
  winter: {
    weight: 0.5,
    isFault: true,
    plan: (random) => ({ days: between(random, 30, 400) }),
    describe: ({ days }) => `everything is suspended for ${days} days; then the devices return`,
    run(fleet, { days }) {
      skip(Number(days) * 86_400_000);
      forAWhile(fleet, { ms: 1 }, () => ignore);
    },
  },
};

/** What a step is, in one sentence. */
export const describeStep = ({ kind, params }: Step): string => steps[kind]?.describe(params) ?? kind;

export const runStep = (fleet: Fleet, { kind, params }: Step): void => steps[kind]?.run(fleet, params);

function chooseWeighted<T extends { readonly weight: number }>(rows: readonly T[], point: number): T | undefined {
  let below = 0;
  return rows.find(({ weight }) => {
    below += weight;
    return point < below;
  });
}

/**
 * Plans the steps of so many milliseconds. Each run leaves out some kinds of steps and has more of others, because a mixture of
 * everything hides what needs several steps of one kind (Groce et al., "Swarm Testing", ISSTA 2012).
 */
export function planSteps(random: Random, lengthMs: number): Step[] {
  const faults = oneOf(random, [0, 0.3, 1, 1, 3]);
  const rows = Object.entries(steps).map(([kind, row]) => {
    const share = row.isTraffic ? 1 : oneOf(random, [0, 1, 1, 6]);
    return { kind, row, weight: row.weight * share * (row.isFault ? faults : 1) };
  });
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  const planned: Step[] = [];
  for (let atMs = between(random, 0, 3000); atMs < lengthMs; atMs += between(random, 1, 3000)) {
    const chosen = chooseWeighted(rows, random() * total);
    if (chosen) planned.push({ atMs, kind: chosen.kind, params: chosen.row.plan(random) });
  }
  return planned;
}
