/** Gives operators' orders to the parts of the service, and reports the state of this service to operators. */

import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { AppConfig } from '../config/config.ts';
import type { FollowedOrders, OwnReport } from '../orders/follow.ts';
import type { Catalogue, CatalogueOptions } from '../packages/catalogue.ts';
import type { Keys } from '../registration/keys.ts';
import { version } from '../version.ts';
import type { Health } from './health.ts';

/** The versions on hold, by configuration and by order, and the version to use. */
export function offersBy(apps: readonly AppConfig[], orders: Pick<FollowedOrders, 'of'>): CatalogueOptions['offerOf'] {
  const configured = new Map(
    apps.map(({ appleItemId, versions = {} }) => [
      appleItemId,
      Object.keys(versions).filter((id) => 'hold' in (versions[id] ?? {})),
    ]),
  );
  return (app) => {
    const { held, used } = orders.of(app);
    const heldAlways = configured.get(app.appleItemId) ?? [];
    // Called several times for each token, and usually there are no orders.
    return { held: held.length === 0 ? heldAlways : [...heldAlways, ...held], used };
  };
}

/** Names an opened service. */
export type ReplicaIdentity = Pick<OwnReport, 'id' | 'startedAt'>;

/**
 * Returns the identity of a service that is opened now. Its id has the form that registration/rotation/readers.ts reads. The
 * last part distinguishes two processes with the same id, such as before and after a restart in a container.
 */
export const newIdentity = (): ReplicaIdentity => ({
  id: `${hostname()}-${process.pid}-${randomUUID().slice(0, 4)}`,
  startedAt: new Date().toISOString(),
});

type ReportedParts = {
  readonly keys: Pick<Keys, 'apps' | 'rotationRun'>;
  readonly catalogue: Pick<Catalogue, 'currentIdOf'>;
  readonly apple: OwnReport['apple'];
};

/** The state of this service for `webdist status`. */
export const replicaReport = (
  identity: ReplicaIdentity,
  { ready }: Health,
  { keys: { apps, rotationRun }, catalogue, apple }: ReportedParts,
): OwnReport => ({
  ...identity,
  version,
  isReady: ready,
  rotationRun: rotationRun ?? null,
  apple,
  apps: apps.map(({ app, canSign, state }) => ({
    appleItemId: app.appleItemId,
    bundleId: app.bundleId,
    keyId: (canSign && state.registered?.keyId) || null,
    appleVersionId: catalogue.currentIdOf(app) ?? null,
  })),
});
