/** What devices do after an install, also with tokens that were copied. */

import { exchange, refresh, requestApps } from '../people/devices.ts';
import { oneOf } from '../world/random.ts';
import { anyDevice, anyReplica, type Rows, replicaOf } from './step.ts';

export const deviceSteps: Rows = {
  restore: {
    weight: 6,
    isTraffic: true,
    plan: (random) => ({
      device: anyDevice(random),
      replica: anyReplica(random),
      other: anyReplica(random),
      first: oneOf(random, ['exchanges the token of its link', 'refreshes its access token', 'has its access token']),
      request: oneOf(random, ['restore', 'restore', 'update']),
    }),
    describe: ({ device, replica, other, first, request }) =>
      `device ${device} ${first} (replica ${replica}), and requests a ${request} from replica ${other}`,
    async run(fleet, params) {
      const id = `device ${params['device']}`;
      const first = String(params['first']);
      if (first.startsWith('exchanges')) await exchange(fleet, replicaOf(fleet, params), id);
      if (first.startsWith('refreshes')) await refresh(fleet, replicaOf(fleet, params), id);
      await requestApps(
        fleet,
        replicaOf(fleet, { replica: Number(params['other']) }),
        id,
        params['request'] as 'restore',
      );
    },
  },
  'copied refresh token': {
    weight: 2,
    plan: (random) => ({ device: anyDevice(random), replica: anyReplica(random), other: anyReplica(random) }),
    describe: ({ device, replica, other }) =>
      `device ${device} and someone with a copy of its refresh token use it at replicas ${replica} and ${other}`,
    run(fleet, params) {
      const id = `device ${params['device']}`;
      void refresh(fleet, replicaOf(fleet, params), id);
      void refresh(fleet, replicaOf(fleet, { replica: Number(params['other']) }), id);
    },
  },
};
