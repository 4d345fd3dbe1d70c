/** `webdist backup`: writes everything that cannot be created again to one file (docs/backup.md). */

import { once } from 'node:events';
import { open, rm } from 'node:fs/promises';
import { collect, keyFilesIn } from '../../backup/collect.ts';
import { countsOf, type Manifest } from '../../backup/format.ts';
import { openStores } from '../../backup/stores.ts';
import { writeBackup } from '../../backup/write.ts';
import { processSettings } from '../../config/config.ts';
import { isWebdistError, WebdistError } from '../../errors.ts';
import { fileProblem } from '../../file-problem.ts';
import { expectLedgerFile } from '../../ledger/ledger.ts';
import { openLog } from '../../log.ts';
import { countsTable, placesIn } from '../backups.ts';
import { goesOn } from '../change.ts';
import { type JsonOption, print, say, withProgress } from '../terminal.ts';

type Options = JsonOption & { readonly out: string; readonly withKeys?: boolean; readonly dryRun?: boolean };

export async function backup(options: Options): Promise<void> {
  const { out, withKeys = false, json } = options;
  const toStdout = out === '-';
  if (toStdout && (json || process.stdout.isTTY))
    throw new WebdistError(
      'usage_invalid',
      'With --out -, stdout must be a pipe or a file, and --json is not possible.',
    );
  const places = placesIn(processSettings());
  expectLedgerFile(places.ledger.url);
  const action = `write a backup of ${places.dataDir} and its ledger to ${toStdout ? 'stdout' : out}`;
  if (!(await goesOn({ action }, options))) return;
  await using stores = await openStores(places, openLog('silent'));
  const createdAt = new Date().toISOString();
  const manifest = await withProgress('Backing up', () =>
    (toStdout ? intoStdout : (work: Work) => intoFile(out, work))((write) =>
      writeBackup(write, createdAt, (put) => collect(stores, withKeys, put)),
    ),
  );
  const keyFiles = withKeys ? [] : await keyFilesIn(places.dataDir);
  const entries = countsOf(manifest);
  if (!toStdout) print({ file: out, createdAt, entries, leftOut: keyFiles }, json, countsTable(entries));
  if (keyFiles.length > 0)
    say(`Not in the backup: ${keyFiles.join(', ')}. They contain private keys; --with-keys includes them.`);
  say('The backup contains the secret of the ledger. Keep it where you keep secrets.');
}

type Work = (write: (text: string) => Promise<void>) => Promise<Manifest>;

const unusable: Readonly<Record<string, string>> = {
  EEXIST: 'already exists and was not changed',
  ENOENT: 'cannot be written: its folder does not exist',
};

/** A new file that only this user can read; it is removed if the backup fails. */
async function intoFile(path: string, work: Work): Promise<Manifest> {
  let isCreated = false;
  try {
    await using file = await open(path, 'wx', 0o600);
    isCreated = true;
    const manifest = await work((text) => file.appendFile(text));
    await file.sync();
    return manifest;
  } catch (cause) {
    if (isCreated) await rm(path, { force: true });
    if (isWebdistError(cause)) throw cause;
    const why = unusable[(cause as NodeJS.ErrnoException).code ?? ''];
    if (why) throw new WebdistError('state_invalid', `${path} ${why}.`, { hint: 'Choose another file with --out.' });
    throw fileProblem(cause, path, '--out') ?? cause;
  }
}

const intoStdout = (work: Work): Promise<Manifest> =>
  work(async (text) => {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain');
  });
