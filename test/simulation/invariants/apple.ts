/** The promises about what webdist does at Apple. */

import { calmMs } from '../facts.ts';
import { trueTime } from '../world/scheduler.ts';
import { gapMs, type Invariant } from './invariant.ts';

export const appleInvariants: readonly Invariant[] = [
  {
    name: 'nothing is removed',
    promise: 'webdist removes a key only in a rotation that an operator ordered, and never a domain.',
    onApple({ facts }, { method, path, from }) {
      if (method !== 'DELETE' || (path.includes('Keys') && facts.rotations > 0)) return undefined;
      return `${from} sent DELETE ${path}`;
    },
  },
  {
    name: 'one key',
    promise: 'However many replicas start, and however often, one key is created at Apple, and never again.',
    onApple({ facts }, { method, path, status }) {
      if (method !== 'POST' || !path.includes('Keys') || status !== 201 || facts.rotations > 0) return undefined;
      facts.keysCreated += 1;
      return facts.keysCreated > 1 ? `it is the key number ${facts.keysCreated}` : undefined;
    },
  },
  {
    name: 'budget',
    promise: 'In calm times the replicas together make no more requests to Apple than one replica’s checks need.',
    onApple(fleet, { from }) {
      const { appleTimes } = fleet.facts;
      if (from.startsWith('operator')) return undefined;
      const now = trueTime();
      appleTimes.push(now);
      while ((appleTimes[0] ?? now) <= now - 60_000) appleTimes.shift();
      if (calmMs(fleet.facts) < gapMs(fleet) + 60_000 || fleet.facts.rotations > 0) return undefined;
      const most = 6 * (60 / (0.8 * fleet.choices.checkSeconds) + 2);
      return appleTimes.length > most ? `${appleTimes.length} requests within a minute` : undefined;
    },
  },
];
