/** What visitors do, including malicious ones. */

import { deviceOf } from '../facts.ts';
import { exchange, requestApps } from '../people/devices.ts';
import { probe } from '../people/probe.ts';
import { sendEvidence, sendStolen, visit } from '../people/visitors.ts';
import { between, oneOf } from '../world/random.ts';
import { schedule, trueTime } from '../world/scheduler.ts';
import { anyDevice, anyReplica, durationMs, inSeconds, number, type Rows, replicaOf } from './step.ts';

export const visitorSteps: Rows = {
  visit: {
    weight: 40,
    isTraffic: true,
    plan: (random) => ({ replica: anyReplica(random), device: anyDevice(random) }),
    describe: ({ device, replica }) => `device ${device} visits replica ${replica}`,
    run: (fleet, params) => void visit(fleet, replicaOf(fleet, params), `device ${params['device']}`),
  },
  install: {
    weight: 16,
    isTraffic: true,
    plan: (random) => ({
      replica: anyReplica(random),
      other: anyReplica(random),
      device: anyDevice(random),
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
        // It returns in the same second in which its `dtype` changes.
        const { evidenceStoredAt = trueTime() } = deviceOf(fleet.facts, id);
        const changesAt = (Math.floor(evidenceStoredAt / 1000) + fleet.choices.lifetimeSeconds) * 1000;
        schedule(changesAt + 50 - trueTime(), () => void visit(fleet, other, id), null);
        // And again with an access token from its link, whose install token has expired by then.
        await exchange(fleet, other, id);
        schedule(changesAt + 3000 - trueTime(), () => void requestApps(fleet, other, id, 'restore'), null);
      };
      schedule(number(params, 'afterMs'), () => void report(), null);
    },
  },
  crowd: {
    weight: 1,
    plan: (random) => ({ visitors: between(random, 10, 40), replica: anyReplica(random) }),
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
    plan: (random) => ({
      device: anyDevice(random),
      requests: between(random, 20, 100),
      replica: oneOf(random, [0, anyReplica(random)]),
    }),
    describe: ({ device, requests, replica }) =>
      `device ${device} sends ${requests} requests at once, to ${replica ? `replica ${replica}` : 'all replicas'}`,
    run(fleet, params) {
      for (let one = 0; one < number(params, 'requests'); one++) {
        const replica = number(params, 'replica') || (one % 3) + 1;
        void visit(fleet, replicaOf(fleet, { replica }), `device ${params['device']}`);
      }
    },
  },
  'stolen nonce': {
    weight: 3,
    plan: (random) => ({
      replica: anyReplica(random),
      device: anyDevice(random),
      of: anyDevice(random),
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
};
