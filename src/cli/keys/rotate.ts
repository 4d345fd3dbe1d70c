/** `webdist keys rotate`: replaces the registered distribution key while servers run (docs/rotation.md). */

import { type AppConfig, type Config, configOf, processEnvironment, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { fingerprint, spki } from '../../jws.ts';
import { openLog } from '../../log.ts';
import { openOrderStore } from '../../orders/store.ts';
import { openCandidate } from '../../registration/candidates.ts';
import { systemClock } from '../../registration/clock.ts';
import { type Change, ensureAbandoned } from '../../registration/rotation/journal.ts';
import { isUnfinished, type Notice } from '../../registration/rotation/notice.ts';
import { planChange, planRollback, withOverlap } from '../../registration/rotation/plan.ts';
import { readByEveryReplica } from '../../registration/rotation/readers.ts';
import { rotate } from '../../registration/rotation/rotate.ts';
import { openRegistrationStore } from '../../registration/store.ts';
import type { RegistrationStore } from '../../registration/store-contract.ts';
import { withAppStoreConnect, withKey } from '../app-store-connect.ts';
import { type ChangeOptions, confirm } from '../change.ts';
import { appNamed } from '../named-app.ts';
import { print, say } from '../terminal.ts';

type Options = ChangeOptions & {
  readonly to?: string;
  readonly app?: string;
  readonly rollback?: boolean;
  readonly overlap?: number;
  readonly ignoreSilent?: boolean;
};

export async function runRotate(options: Options): Promise<void> {
  if ((options.to === undefined) === (options.rollback === undefined))
    throw new WebdistError('usage_invalid', 'Use either --to LOCATOR or --rollback.');
  const config = configOf(processSettings());
  const store = await openRegistrationStore(config, openLog('silent'));
  try {
    await change(options, config, store);
  } finally {
    await store.close();
  }
}

async function change(options: Options, config: Config, store: RegistrationStore): Promise<void> {
  const { to, app, json } = options;
  const previous = await store.readNotice();
  if (isUnfinished(previous)) {
    say('An earlier rotation is unfinished. Waiting 5 s to make sure that no other process is running it.');
    await ensureAbandoned(store, previous);
  }
  const begun =
    to === undefined ? planRollback(previous) : await plan(to, appNamed(config.apps, app), { config, store, previous });
  if (!begun) {
    print({ changed: false }, json, ['This key is already registered; nothing was changed.']);
    return;
  }
  const { tokenLifetimeSeconds } = config;
  const planned = withOverlap(begun, { requested: options.overlap, tokenLifetimeSeconds });
  const { from, appleItemIds, scope, overlapSeconds } = planned;
  const users = config.apps.filter((one) => appleItemIds.includes(one.appleItemId));
  for (const user of users) await warnUnlessHeld(user, planned.to.spki);
  if (scope === 'account')
    say(
      'This is the key of the account. It changes for every app without its own key, even for apps that other servers serve.',
    );
  const names = users.map((user) => user.bundleId).join(', ');
  const before = from ? fingerprint(from.spki) : 'none';
  const overlap = from && overlapSeconds ? `, and remove the old key ${overlapSeconds} s later` : '';
  const action = `replace the key of ${names}: ${before} with ${fingerprint(planned.to.spki)}${overlap}`;
  if (!(await confirm({ action }, options))) return;
  // A service that has not run yet must not register the key again if a person removes it later.
  await store.addEverRegistered(appleItemIds);
  process.once('SIGINT', exitInterrupted);
  const reports = await openOrderStore(config);
  const readByAll = async (run: string) => {
    if (!options.ignoreSilent) await readByEveryReplica(run, { replicas: reports.replicas, clock: systemClock });
  };
  const keyId = await withAppStoreConnect('Changing the key', (asc) =>
    rotate(planned, { asc, store, previous, readByAll, report: say }),
  ).finally(reports.close);
  process.off('SIGINT', exitInterrupted);
  const after = { changed: true, keyId, fingerprint: fingerprint(planned.to.spki), scope, appleItemIds };
  print(after, json, [`key id       ${keyId}`, `fingerprint  ${after.fingerprint}`]);
}

/**
 * The journal records the progress of the rotation, so there is nothing to clean up. 130 is the exit code that shells
 * report after Ctrl-C.
 */
function exitInterrupted(): void {
  say('Interrupted. Run the same command again to continue, or use --rollback to restore the old key.');
  process.exit(130);
}

type Parts = { readonly config: Config; readonly store: RegistrationStore; readonly previous: Notice | undefined };

async function plan(locator: string, app: AppConfig, { config, store, previous }: Parts): Promise<Change | undefined> {
  const to = await withKey(locator, '--to', async ({ publicKey }) => spki(publicKey));
  const held = await publicHalves(app);
  return withAppStoreConnect('Fetching the key', (asc) =>
    planChange({ config, app, to, held }, previous, { asc, store }),
  );
}

/** The public halves of the candidates that can be opened here. Servers may be able to open others. */
async function publicHalves(app: AppConfig): Promise<string[]> {
  const options = { env: processEnvironment(), log: openLog('silent') };
  const halves = await Promise.all(
    app.key.map(async (locator) => {
      const candidate = await openCandidate(locator, options);
      const { signer } = candidate;
      await candidate.close();
      return signer && spki(signer.publicKey);
    }),
  );
  return halves.filter((half) => half !== undefined);
}

async function warnUnlessHeld(app: AppConfig, wanted: string): Promise<void> {
  if ((await publicHalves(app)).includes(wanted)) return;
  say(`WARNING: in these settings, no candidate of ${app.bundleId} is the new key.`);
  say('Servers stop signing until the new key is among their candidates (WEBDIST_KEY).');
}
