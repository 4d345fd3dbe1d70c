/** `webdist restore`: restores a backup into the data folder and the ledger in the settings (docs/backup.md). */

import { existsSync } from 'node:fs';
import { countsOf } from '../../backup/format.ts';
import { contentOf, expectSameSecret, openBackup, restore } from '../../backup/restore.ts';
import { openStores, type Places } from '../../backup/stores.ts';
import { processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { ledgerBackend } from '../../ledger/ledger.ts';
import { openLog } from '../../log.ts';
import { countsTable, placesIn } from '../backups.ts';
import { type ChangeOptions, confirm, goesOn } from '../change.ts';
import { print, say, withProgress } from '../terminal.ts';

export async function restoreBackup(file: string, options: ChangeOptions): Promise<void> {
  const backup = await withProgress('Checking the backup', () => openBackup(file));
  const counts = countsOf(backup.manifest);
  const places = placesIn(processSettings());
  const { name, isDurable } = ledgerBackend(places.ledger.url);
  if (!isDurable && counts['installs'])
    throw new WebdistError('config_invalid', `WEBDIST_LEDGER is ${name}, which keeps no installs.`, {
      hint: 'Run this command with the WEBDIST_LEDGER of the service.',
    });
  await using stores = await openStores(options.dryRun ? unchanged(places) : places, openLog('silent'));
  await expectSameSecret(backup, stores);
  const { installs, isEmpty } = await contentOf(stores);
  const change = {
    action: `restore ${counts['installs'] ?? 0} installs of ${backup.header.createdAt} into ${places.dataDir} and its ledger`,
    ...(!isEmpty && {
      effect: `There is already data, with ${installs} installs. The backup is merged with it: the older date of each install counts, and orders in force stay.`,
    }),
  };
  if (!(await (isEmpty ? goesOn : confirm)(change, options))) return;
  const notes = await withProgress('Restoring', () => restore(backup, stores));
  print({ file, createdAt: backup.header.createdAt, entries: counts, notes }, options.json, countsTable(counts));
  for (const note of notes) say(note);
}

/** For --dry-run: a ledger file that does not exist is not created. */
function unchanged(places: Places): Places {
  const { ledger } = places;
  const path = ledgerBackend(ledger.url).fileOf?.(ledger.url);
  return path === undefined || existsSync(path) ? places : { ...places, ledger: { ...ledger, url: 'memory:' } };
}
