/** Replicas of a service with many apps that watch their registration at the simulated App Store Connect, in virtual time. */

import { join } from 'node:path';
import type { Test } from 'tap';
import type { AppStoreConnect } from '../../src/app-store-connect/client.ts';
import { spki } from '../../src/jws.ts';
import { openLog } from '../../src/log.ts';
import { ownRegistration } from '../../src/registration/app-registration.ts';
import type { Candidate } from '../../src/registration/candidates.ts';
import { type OwnedDomainRegistration, ownDomainRegistration } from '../../src/registration/domain-registration.ts';
import { openFileRegistrationStore } from '../../src/registration/store-file.ts';
import { type RegistrationWatch, watchRegistration } from '../../src/registration/watch.ts';
import { appSeedSchema, newAccount, seedApp } from '../../src/sandbox/account.ts';
import { openStore } from '../../src/sandbox/state.ts';
import { accountOf, openClient } from './app-store-connect.ts';
import { temporaryFolder } from './folder.ts';
import { startSandbox } from './sandbox.ts';
import { newSigner } from './stand-ins/app-store-connect.ts';
import { openVirtualClock, type VirtualClock } from './virtual-clock.ts';

type Options = {
  readonly replicas: number;
  readonly count?: number;
  readonly areRegistered?: boolean;
  /** False: each replica has a store of its own. */
  readonly isShared?: boolean;
  readonly requestsPerHour?: number;
  /** Changes what a replica is connected to. */
  readonly connect?: (asc: AppStoreConnect, replica: number) => AppStoreConnect;
  /** How long each response of App Store Connect takes, in virtual time. */
  readonly latencyMs?: number;
};

type Replica = {
  readonly watch: RegistrationWatch;
  readonly domain: OwnedDomainRegistration;
  /** For how many apps it can sign. */
  readonly signing: () => number;
};

/** Replicas of a service with many apps. */
export async function openFleet(t: Test, options: Options) {
  const {
    replicas,
    count = 200,
    areRegistered = true,
    isShared = true,
    requestsPerHour = 3600,
    connect = (asc) => asc,
    latencyMs = 0,
  } = options;
  const clock = openVirtualClock();
  const folder = temporaryFolder(t);
  const signers = Array.from({ length: count }, newSigner);
  // The account begins with one app.
  const idOf = (index: number) => `${6_500_000_002 + index}`;
  openStore(folder, newAccount).change((account) => {
    signers.forEach(({ publicKey }, index) => {
      const { app } = seedApp(account, appSeedSchema.parse({ bundleId: `com.example.app${index}` }));
      if (areRegistered)
        account.keys.push({ id: `key-${index}`, spki: spki(publicKey), appId: app.id, team: app.team });
    });
  });
  const sandbox = await startSandbox(t, { dataDir: folder, now: clock.now, requestsPerHour });
  const started: Replica[] = [];

  async function start(replica: number): Promise<Replica> {
    const log = openLog('silent');
    const apps = signers.map((signer, index) => {
      const candidate: Candidate = {
        backend: 'test',
        signer,
        problem: undefined,
        isPaused: false,
        isAway: false,
        async refresh() {
          // A key in memory does not change.
        },
        async close() {
          // Nothing is open.
        },
      };
      return ownRegistration(
        { appleItemId: idOf(index), bundleId: `com.example.app${index}`, key: [] } as unknown as Parameters<
          typeof ownRegistration
        >[0],
        [candidate],
        log,
      );
    });
    const domain = ownDomainRegistration('example.com', log);
    const asc = openClient(t, accountOf(sandbox), { now: clock.now });
    const store = openFileRegistrationStore(join(folder, isShared ? 'shared' : `replica-${replica}`), clock.now);
    const watch = await watchRegistration({
      config: {
        keyScope: 'app',
        register: 'ensure',
        registerIntervalSeconds: 300,
        appStoreConnect: undefined,
        domain: 'example.com',
      },
      apps,
      domain,
      connect: async () => delayed(clock.track(connect(asc, replica)), latencyMs, clock),
      ownClockOffsetSeconds: () => asc.clockOffsetSeconds,
      store: clock.track(store),
      observer: { check: (work) => work(), changed: () => undefined },
      log,
      clock,
    });
    void watch.reconcile();
    t.teardown(() => watch.close());
    const one = { watch, domain, signing: () => apps.filter(({ canSign }) => canSign).length };
    started.push(one);
    return one;
  }
  for (let replica = 0; replica < replicas; replica++) await start(replica);
  const statuses = async () => {
    const seen = (await (await fetch(`${sandbox.baseUrl}/_sandbox/requests`)).json()) as { status: number }[];
    return { all: seen.length, refused: seen.filter(({ status }) => status === 429).length };
  };
  return { clock, sandbox, started, statuses };
}

/** The same client, but each request takes `latencyMs` in virtual time. `findApps` sends one for 100 bundle ids. */
const delayed = (asc: AppStoreConnect, latencyMs: number, clock: VirtualClock): AppStoreConnect =>
  latencyMs === 0
    ? asc
    : new Proxy(asc, {
        get(target, name) {
          const value = Reflect.get(target, name);
          if (typeof value !== 'function') return value;
          return async (...args: unknown[]) => {
            await clock.sleep(latencyMs * (name === 'findApps' ? Math.ceil(args.length / 100) : 1));
            return Reflect.apply(value, target, args);
          };
        },
      });
