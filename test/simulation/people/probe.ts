/** Compares what a replica says about itself with what it does. */

import { readConfig } from '../../../src/config/config.ts';
import { storeCalmMs } from '../facts.ts';
import type { Fleet, Replica } from '../fleet.ts';
import { examine } from '../invariants.ts';
import { trueTime, within } from '../world/scheduler.ts';

/** Compares what a replica says about itself with what it does. */
export async function probe(fleet: Fleet, replica: Replica): Promise<void> {
  const { service, machine } = replica;
  if (!service || !machine || machine.isSuspended) return;
  const { app } = fleet.apple;
  await within(machine, async () => {
    const isReady = service.health().ready;
    const outcome = await service.issue({ app: configuredApp(fleet), caller: 'command', dtype: 'download' }).then(
      () => 'issued',
      (error) => String(error.code),
    );
    // Being ready says nothing about versions on hold.
    if (service.health().ready !== isReady || outcome === 'version_held') return;
    // A replica that cannot read how far a rotation got does not sign, for five seconds at most, and stays ready.
    if (fleet.facts.rotations > 0 || storeCalmMs(fleet.facts, trueTime(), replica.name) < 8000) return;
    const agrees = isReady ? outcome === 'issued' : outcome !== 'issued';
    fleet.note(replica.name, `is ${isReady ? '' : 'not '}ready, and a token for ${app.bundleId} is ${outcome}`);
    examine(fleet, 'onAnswer', {
      replica: replica.name,
      route: 'probe',
      status: agrees ? 200 : 503,
      code: agrees ? 'ready' : `ready: ${isReady}, but ${outcome}`,
    });
  });
}

const configuredApp = (fleet: Fleet) => {
  const [app] = readConfig(fleet.env).apps;
  if (!app) throw new Error('No app is configured.');
  return app;
};
