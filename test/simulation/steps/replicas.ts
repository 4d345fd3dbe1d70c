/** What happens to the replicas: their processes, clocks and disks. */

import { EVERY_REPLICA } from '../facts.ts';
import type { Replica } from '../fleet.ts';
import { kill, loseDisk, start, stop } from '../replica.ts';
import { type DiskFault, onNextWrite, setDiskFault } from '../world/disk.ts';
import { failOver } from '../world/postgres.ts';
import { oneOf } from '../world/random.ts';
import { loseRedis } from '../world/redis.ts';
import { resume, trueTime } from '../world/scheduler.ts';
import { anyReplica, durationMs, forAWhile, ignore, inSeconds, number, type Rows, replicaOf } from './step.ts';

/** Adds the drift so far to the offset. */
function settleDrift(clock: Replica['clock']): void {
  clock.offsetMs += clock.driftPerMs * (trueTime() - clock.sinceMs);
  clock.sinceMs = trueTime();
}

function databasesOff() {
  failOver(true);
  const redisBack = loseRedis();
  return () => {
    failOver(false);
    redisBack();
  };
}

/** How long a kill waits for a write. */
const WRITE_WITHIN_MS = 5000;

export const replicaSteps: Rows = {
  kill: {
    weight: 4,
    isFault: true,
    plan: (random) => ({
      replica: anyReplica(random),
      ms: durationMs(random),
      disk: oneOf(random, ['kept', 'kept', 'lost']),
      when: oneOf(random, ['at once', 'in the middle of its next write']),
    }),
    describe: ({ replica, ms, disk, when }) =>
      `replica ${replica} is killed ${when}, and starts after ${inSeconds(ms)} with its disk ${disk}`,
    run(fleet, params) {
      const replica = replicaOf(fleet, params);
      const act = () => {
        onNextWrite(replica.name, undefined);
        kill(fleet, replica);
        if (params['disk'] === 'lost' && fleet.choices.ledger === 'PostgreSQL') {
          loseDisk(replica);
          fleet.facts.followed.delete(replica.name);
        }
        forAWhile(fleet, params, () => () => start(fleet, replica));
      };
      if (params['when'] === 'at once') return act();
      onNextWrite(replica.name, act);
      forAWhile(fleet, { ms: WRITE_WITHIN_MS }, () => () => onNextWrite(replica.name, undefined));
    },
  },
  'power failure': {
    weight: 1,
    isFault: true,
    plan: (random) => ({
      one: durationMs(random),
      two: durationMs(random),
      three: durationMs(random),
      ms: durationMs(random),
    }),
    describe: ({ one, two, three, ms }) =>
      `the power fails; the replicas start after ${[one, two, three].map(inSeconds).join(', ')}, and PostgreSQL and Redis after ${inSeconds(ms)}`,
    run(fleet, params) {
      forAWhile(fleet, params, databasesOff, EVERY_REPLICA);
      for (const [index, name] of ['one', 'two', 'three'].entries()) {
        const replica = replicaOf(fleet, { replica: index + 1 });
        kill(fleet, replica);
        forAWhile(fleet, { ms: number(params, name) }, () => () => start(fleet, replica));
      }
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
    weight: 4,
    isFault: true,
    // A replica can only go wrong in what it missed meanwhile, so an operator always acts.
    actShare: 1,
    plan: (random) => ({ replica: anyReplica(random), ms: oneOf(random, [0, 4000]) + durationMs(random) }),
    describe: ({ replica, ms }) => `replica ${replica} is suspended for ${inSeconds(ms)}`,
    run(fleet, params) {
      const { machine } = replicaOf(fleet, params);
      if (machine) machine.isSuspended = true;
      forAWhile(fleet, params, () => () => {
        if (machine) resume(machine);
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
      forAWhile(fleet, params, () => () => setDiskFault(name, undefined), name);
    },
  },
};
