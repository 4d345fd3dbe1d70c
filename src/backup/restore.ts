/**
 * Restores a backup into the stores of an installation, even while services use them. Installs are merged, and orders and
 * keys in force stay in force. Restoring the same backup again changes nothing.
 */

import { appendFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode, WebdistError } from '../errors.ts';
import { makeFolder, withFileProblems } from '../file-problem.ts';
import type { InstallRecord, Ledger } from '../ledger/contract.ts';
import { checkSecret } from '../ledger/secret-check.ts';
import type { RegisteredKeys } from '../registration/store-contract.ts';
import { keepLedgerSecret, secretFingerprint } from '../service/secret.ts';
import type { DataOf } from './format.ts';
import { readBackup, type Summary, type Takers } from './read.ts';
import type { Stores } from './stores.ts';

/**
 * Installs that are written at once. They are few, and a pause of the same duration follows, so that the services' own
 * writes do not wait long for the lock.
 */
const WRITTEN_AT_ONCE = 100;
/** How long writing is retried while the ledger does not answer. */
const LEDGER_AWAY_MS = 15_000;

/** A verified backup. */
export type Backup = Summary & { readonly path: string; readonly secret: string };

/** Reads all of a backup, and changes nothing. Throws `state_invalid`. */
export async function openBackup(path: string): Promise<Backup> {
  let secret = '';
  const summary = await readBackup(path, {
    'ledger-secret': async (text) => {
      secret = text;
    },
  });
  return { ...summary, path, secret };
}

/** Throws `state_invalid` if the stores belong to a different secret than the backup. */
export async function expectSameSecret({ secret }: Backup, stores: Pick<Stores, 'secret' | 'ledger'>): Promise<void> {
  if (stores.secret !== undefined && stores.secret !== secret)
    throw new WebdistError(
      'state_invalid',
      'The backup has another WEBDIST_LEDGER_SECRET than the one in force here.',
      {
        hint: 'Set the secret of the backup, or restore into an empty data folder and an empty ledger (docs/backup.md).',
      },
    );
  await checkSecret(stores.ledger, secretFingerprint(secret));
}

/** How much the stores hold already. */
export async function contentOf({ ledger, registration, orders }: Stores) {
  const { installs } = await ledger.stats();
  const names = await registration.everRegistered();
  const isEmpty = installs === 0 && names.size === 0 && (await orders.read()).revision === 0;
  return { installs, isEmpty };
}

/** Restores a verified backup. Returns what was not restored, and why, in sentences. */
export async function restore({ path, header }: Backup, stores: Stores): Promise<readonly string[]> {
  const notes: string[] = [];
  await readBackup(
    path,
    takersOf(stores, header.createdAt, (note) => notes.push(note)),
  );
  return notes;
}

function takersOf({ dataDir, ledger, registration, orders, ...own }: Stores, createdAt: string, note: Note): Takers {
  return {
    async 'ledger-secret'(secret) {
      if (own.secret === undefined) await keepLedgerSecret(dataDir, secret);
      await patiently(() => ledger.keepSecretFingerprint(secretFingerprint(secret)));
    },
    async registration(keys) {
      await registration.save(newest(await registration.load(), keys));
    },
    'ever-registered': (names) => registration.addEverRegistered(names),
    async rotation(notice) {
      const current = await registration.readNotice();
      if (current?.run === notice.run && current.beat === notice.beat) return;
      if (current || !(await registration.writeNotice(notice, undefined)))
        note('The last rotation that is recorded here is kept.');
    },
    async orders(found) {
      if (found.revision === 0 || (await orders.adopt(found))) return;
      if ((await orders.read()).revision !== found.revision) note('The orders in force here are kept.');
    },
    audit: openAuditTaker(own.auditFile ?? join(dataDir, 'audit.jsonl'), createdAt, note),
    async 'key-files'({ file, text }) {
      const path = join(dataDir, file);
      await withFileProblems(path, 'WEBDIST_DATA_DIR', () =>
        writeFile(path, text, { flag: 'wx', mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
          if (error.code !== 'EEXIST') throw error;
          note(`${path} is not replaced.`);
        }),
      );
    },
    async installs(installs) {
      for (let index = 0; index < installs.length; index += WRITTEN_AT_ONCE)
        await addInstalls(ledger, installs.slice(index, index + WRITTEN_AT_ONCE));
    },
  };
}

type Note = (sentence: string) => void;

/** An install in both gets the older of each two times, as with any evidence. */
async function addInstalls(ledger: Ledger, installs: readonly InstallRecord[]): Promise<void> {
  const began = performance.now();
  await patiently(() => ledger.addInstalls(installs));
  await delay(performance.now() - began);
}

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  const end = performance.now() + LEDGER_AWAY_MS;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, 'ledger_unavailable') || performance.now() > end) throw error;
      await delay(100);
    }
  }
}

/** Of each app, the key that App Store Connect reported last. */
function newest(current: RegisteredKeys, found: RegisteredKeys): RegisteredKeys {
  const isNewer = ([appleItemId, { seenAt }]: [string, RegisteredKeys[string]]) =>
    Date.parse(seenAt) > Date.parse(current[appleItemId]?.seenAt ?? '1970-01-01T00:00:00Z');
  return { ...current, ...Object.fromEntries(Object.entries(found).filter(isNewer)) };
}

/** Audit lines go into new files beside the one in use, whose lines are chained. */
function openAuditTaker(auditFile: string, createdAt: string, note: Note) {
  const written = new Set<string>();
  const suffix = `restored-${createdAt.replace(/[:.]/g, '-')}`;
  return async ({ file, text }: DataOf['audit']) => {
    const path = join(dirname(auditFile), `${file}.${suffix}`);
    await withFileProblems(path, 'WEBDIST_AUDIT', async () => {
      if (written.has(path)) return appendFile(path, text);
      makeFolder(dirname(path), 0o700);
      return writeFile(path, text, { mode: 0o600 });
    });
    if (!written.has(path)) note(`Audit lines are in ${path}.`);
    written.add(path);
  };
}
