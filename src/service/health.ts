/** Builds the answer of the health endpoints from known state; makes no remote call. */

import type { Config } from '../config/config.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import type { FollowedOrders } from '../orders/follow.ts';
import type { PackageManifest } from '../packages/manifest.ts';
import type { AppRegistration } from '../registration/app-registration.ts';
import type { Keys } from '../registration/keys.ts';
import type { ReplicaState } from './lookups.ts';
import type { Records } from './records.ts';
import type { SharedRedis } from './redis.ts';
import type { TokenClock } from './token-clock.ts';

/** `degraded`: something is wrong, but signing does not need it. `down`: something is wrong, and signing needs it. */
type State = {
  readonly state: 'ok' | 'degraded' | 'down' | 'off';
  readonly code?: string;
  readonly detail?: string;
};

type AppHealth = {
  readonly key: State;
  readonly registration: State;
  readonly package: State;
  readonly keyId?: string;
};

/**
 * `ready`: this process can sign now for at least one app. `started`: for each app it is known whether it can sign.
 */
export type Health = {
  readonly ready: boolean;
  readonly started: boolean;
  readonly mode: Config['mode'];
  readonly apps: Readonly<Record<string, AppHealth>>;
  readonly domain: State;
  /** This machine's clock, compared with App Store Connect's. */
  readonly clock: State;
  readonly ledger: State;
  /** The ledger's read replica. */
  readonly ledgerRead: State;
  readonly redis: State;
  /** Whether the orders of operators can be read. */
  readonly orders: State;
};

type Deps = {
  readonly keys: Keys;
  readonly clock: Pick<TokenClock, 'problem'>;
  readonly records: Pick<Records, 'problem' | 'replica'>;
  readonly redis: Pick<SharedRedis, 'problem'> | undefined;
  readonly orders: Pick<FollowedOrders, 'of' | 'problem'>;
  readonly manifests: ReadonlyMap<string, PackageManifest>;
};

const STOPPED: State = { state: 'down', code: 'not_registered', detail: 'stopped by an operator (webdist keys stop)' };

/** Returns the health of the service, as last reported by its parts. */
export function healthOf(config: Config, { keys, clock, records, redis, orders, manifests }: Deps): Health {
  const { problem } = clock;
  const isStopped = ({ app }: AppRegistration) => orders.of(app).isStopped;
  const apps = keys.apps.map((one) => {
    const health = appHealth(one, manifests.get(one.app.appleItemId));
    return [one.app.bundleId, isStopped(one) ? { ...health, registration: STOPPED } : health] as const;
  });
  return {
    ready: !problem && keys.apps.some((one) => one.canSign && !one.isAway && !isStopped(one)),
    started: keys.apps.every(({ canSign, state }) => canSign || state.problem !== undefined || state.paused),
    mode: config.mode,
    apps: Object.fromEntries(apps),
    domain: domainState(config, keys.domain.state),
    clock: problem ? { state: 'down', code: problem.code, detail: problem.message } : { state: 'ok' },
    ledger: ledgerState(config, records.problem),
    ledgerRead: replicaState(records.replica),
    redis: redis ? dependencyState(redis.problem) : { state: 'off' },
    orders: dependencyState(orders.problem),
  };
}

function ledgerState({ ledger }: Config, problem: string | undefined): State {
  if (!ledgerBackend(ledger.url).isOn) return { state: 'off' };
  return dependencyState(problem);
}

const dependencyState = (problem: string | undefined): State =>
  problem === undefined ? { state: 'ok' } : { state: 'degraded', detail: problem };

function replicaState(replica: ReplicaState | undefined): State {
  if (!replica) return { state: 'off' };
  const lag = `It is ${Math.round(replica.lagSeconds)} s behind`;
  if (replica.problem) return { state: 'degraded', detail: `${replica.problem} The ledger itself is read.` };
  return replica.isStale
    ? { state: 'degraded', detail: `${lag}; the ledger itself is read.` }
    : { state: 'ok', detail: `${lag}.` };
}

function appHealth(registration: AppRegistration, manifest: PackageManifest | undefined): AppHealth {
  const { candidates, state, canSign } = registration;
  const held = candidates.some((one) => one.signer);
  const severity = held ? 'degraded' : 'down';
  return {
    key: keyState(registration, severity),
    registration: registrationState(state, canSign),
    package: packageState(registration, manifest),
    ...(canSign && state.registered && { keyId: state.registered.keyId }),
  };
}

function domainState({ register }: Config, { problem, confirmed }: Keys['domain']['state']): State {
  if (register === 'off') return { state: 'off', detail: 'not checked, because WEBDIST_REGISTER is off' };
  if (problem) return { state: 'degraded', code: problem.code, detail: problem.message };
  return confirmed ? { state: 'ok' } : { state: 'degraded', detail: 'not checked yet' };
}

/**
 * A signer that is paused after failures (see `signer/guarded.ts`) takes precedence over problems of other candidates.
 */
function keyState({ candidates }: AppRegistration, severity: 'degraded' | 'down'): State {
  const paused = candidates.find((one) => one.isPaused);
  if (paused)
    return {
      state: 'degraded',
      code: 'signer_unavailable',
      detail: `The ${paused.backend} signer keeps failing; calls are paused for a while.`,
    };
  const problem = candidates.find((one) => one.problem)?.problem;
  return problem ? { state: severity, code: problem.code, detail: problem.message } : { state: 'ok' };
}

function registrationState(
  { problem, confirmed, registered, paused }: AppRegistration['state'],
  signs: boolean,
): State {
  const severity = signs ? 'degraded' : 'down';
  if (paused) return { state: 'down', code: 'not_registered', detail: 'the key is being replaced' };
  if (problem) return { state: severity, code: problem.code, detail: problem.message };
  if (!signs) return { state: 'down', detail: 'not known yet' };
  return confirmed
    ? { state: 'ok' }
    : { state: 'ok', detail: `stored on ${registered?.seenAt}, not confirmed since then` };
}

function packageState({ app }: AppRegistration, manifest: PackageManifest | undefined): State {
  if (!app.packageUrl) return { state: 'off', detail: 'no package URL is set, so there is no install URL' };
  return manifest?.problem ? { state: 'degraded', detail: manifest.problem } : { state: 'ok' };
}
