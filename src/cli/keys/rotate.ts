/** `webdist keys rotate`: another distribution key in the place of the registered one, while servers run (docs/rotation.md). */

import { fingerprint } from '../../app-store-connect/register.ts';
import { type AppConfig, type Config, processEnvironment, readConfig } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { spki } from '../../jws.ts';
import { openLog } from '../../log.ts';
import { openCandidate } from '../../registration/candidates.ts';
import { type Change, outlive } from '../../registration/rotation/journal.ts';
import { isUnfinished, type Notice } from '../../registration/rotation/notice.ts';
import { planChange, planRollback } from '../../registration/rotation/plan.ts';
import { rotate } from '../../registration/rotation/rotate.ts';
import { type Memory, openMemory } from '../../registration/store.ts';
import { withAppStoreConnect, withKey } from '../apple.ts';
import { agree, type JsonOption, print, say } from '../terminal.ts';

type Options = JsonOption & {
  readonly to?: string;
  readonly app?: string;
  readonly rollback?: boolean;
  readonly yes?: boolean;
};

export async function runRotate(options: Options): Promise<void> {
  if ((options.to === undefined) === (options.rollback === undefined))
    throw new WebdistError('usage_invalid', 'Say either --to LOCATOR or --rollback.');
  const config = readConfig(processEnvironment());
  const memory = await openMemory(config, openLog('silent'));
  try {
    await change(options, config, memory);
  } finally {
    await memory.close();
  }
}

async function change({ to, app, yes, json }: Options, config: Config, memory: Memory): Promise<void> {
  const left = await memory.readNotice();
  if (isUnfinished(left)) {
    say('A change was begun before and not finished. Waiting 5 s to see that nobody is at work on it.');
    await outlive(memory, left);
  }
  const planned = to === undefined ? planRollback(left) : await plan(to, appOf(config, app), { config, memory, left });
  if (!planned) {
    print({ changed: false }, json, ['This key is registered already; nothing was changed.']);
    return;
  }
  const { from, appleItemIds, scope } = planned;
  const users = config.apps.filter((one) => appleItemIds.includes(one.appleItemId));
  for (const user of users) await warnUnlessHeld(user, planned.to.spki);
  if (scope === 'account')
    say("The key is the account's: every app that has none of its own changes with it, also those served elsewhere.");
  const names = users.map((user) => user.bundleId).join(', ');
  const before = from ? fingerprint(from.spki) : 'none';
  await agree(`Replace the key of ${names}: ${before} by ${fingerprint(planned.to.spki)}?`, yes);
  process.once('SIGINT', stopInTheMiddle);
  const keyId = await withAppStoreConnect('Changing the key', (asc) => rotate(planned, { asc, memory, left, say }));
  process.off('SIGINT', stopInTheMiddle);
  const after = { changed: true, keyId, fingerprint: fingerprint(planned.to.spki), scope, appleItemIds };
  print(after, json, [`key id       ${keyId}`, `fingerprint  ${after.fingerprint}`]);
}

/** What was begun is in the journal, so that nothing has to be put in order here. 130 is what a shell makes of Ctrl-C. */
function stopInTheMiddle(): void {
  say('Stopped in the middle. Run the same command again to go on, or with --rollback to put the old key back.');
  process.exit(130);
}

type Parts = { readonly config: Config; readonly memory: Memory; readonly left: Notice | undefined };

async function plan(locator: string, app: AppConfig, { config, memory, left }: Parts): Promise<Change | undefined> {
  const to = await withKey(locator, '--to', async ({ publicKey }) => spki(publicKey));
  const held = await publicHalves(app);
  return withAppStoreConnect('Asking for the key', (asc) =>
    planChange({ config, app, to, held }, left, { asc, memory }),
  );
}

function appOf({ apps }: Config, name: string | undefined): AppConfig {
  const [only, ...others] = apps;
  if (name === undefined && only && others.length === 0) return only;
  const app = apps.find((one) => one.bundleId === name || one.appleItemId === name);
  if (app) return app;
  throw new WebdistError(
    'usage_invalid',
    name === undefined ? 'There are several apps.' : `No app here is "${name}".`,
    {
      hint: `Give --app with one of: ${apps.map((one) => one.bundleId).join(', ')}.`,
    },
  );
}

/** The public halves of the candidates that can be opened here; servers may be able to open others. */
async function publicHalves(app: AppConfig): Promise<string[]> {
  const options = { env: processEnvironment(), log: openLog('silent'), changed: () => undefined };
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
  say(`WARNING: no candidate of ${app.bundleId} in these settings holds the new key.`);
  say('Servers without it among their candidates (WEBDIST_KEY) stop signing until they have it.');
}
