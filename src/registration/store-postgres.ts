/**
 * The registration store that all replicas share, in the PostgreSQL database of the ledger: a new replica knows what
 * another one learnt from App Store Connect, even while Apple is down. The file store is used as well. While the database
 * is down, a replica starts with the data in its own file, and writes new data to the database when the database is back.
 * Needs no permissions beyond those of the ledger.
 */

import type { Logger } from 'pino';
import type { LedgerAddress } from '../ledger/contract.ts';
import { openPostgresDatabase, type Query } from '../ledger/postgres-database.ts';
import { noticeText, parseNotice } from './rotation/notice.ts';
import type { RegisteredKeys, RegistrationStore } from './store-contract.ts';
import { postgresTurns } from './turns-postgres.ts';

const RETRY_MS = 30_000;

/**
 * The newer report wins, even if the older one arrives later from a replica that could not reach the database for a
 * while.
 */
const SAVE = `
  INSERT INTO webdist_registered_key AS known (apple_item_id, key_id, spki, seen_at)
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])
  ON CONFLICT (apple_item_id) DO UPDATE
    SET key_id = excluded.key_id, spki = excluded.spki, seen_at = excluded.seen_at
    WHERE known.seen_at < excluded.seen_at`;

/**
 * Deletes the keys of apps that are no longer registered, unless another replica has seen them registered since then.
 */
const FORGET = `DELETE FROM webdist_registered_key WHERE apple_item_id = ANY ($1) AND seen_at < $2`;

const ADD_EVER_REGISTERED = 'INSERT INTO webdist_ever_registered SELECT unnest($1::text[]) ON CONFLICT DO NOTHING';

/** Writes the only notice, unless another run has written one in the meantime. */
const WRITE_NOTICE = `
  INSERT INTO webdist_rotation AS known (run, notice) SELECT $1::text, $2::text
  WHERE $3::text IS NULL OR EXISTS (SELECT FROM webdist_rotation WHERE run = $3)
  ON CONFLICT (only_one) DO UPDATE SET run = excluded.run, notice = excluded.notice WHERE known.run = $3
  RETURNING run`;

/**
 * Opens the store for these apps. Saving and loading fail only when the file store fails; the notice of a rotation,
 * what was ever registered, and whose turn it is to check need the database. `now`: milliseconds since 1970.
 * Throws `config_invalid` or `state_invalid` as the database does.
 */
export async function openPostgresRegistrationStore(
  address: LedgerAddress,
  deps: {
    readonly appleItemIds: readonly string[];
    readonly file: RegistrationStore;
    readonly log: Logger;
    readonly now: () => number;
  },
): Promise<RegistrationStore> {
  const { appleItemIds, file, log, now } = deps;
  const database = await openPostgresDatabase(address);
  let unsaved: { readonly keys: RegisteredKeys; readonly at: Date } | undefined;
  const saveUnsaved = async () => {
    const saving = unsaved;
    if (!saving) return;
    try {
      await database.transaction((query) => save(query, saving.keys, saving.at, appleItemIds));
      if (unsaved === saving) unsaved = undefined;
    } catch (err) {
      log.warn({ event: 'registration_not_shared', err }, 'cannot share the key id with the other replicas yet');
    }
  };
  const retrying = setInterval(saveUnsaved, RETRY_MS).unref();
  return {
    async load() {
      const own = await file.load();
      const shared = await database.transaction(load).catch((err) => {
        log.warn({ event: 'registration_not_shared', err }, 'starting with the key id that this replica stored itself');
        return {};
      });
      return { ...own, ...shared };
    },
    async save(keys) {
      unsaved = { keys, at: new Date() };
      await file.save(keys);
      await saveUnsaved();
    },
    async everRegistered() {
      const rows = await database.query('SELECT name FROM webdist_ever_registered');
      return new Set([...(await file.everRegistered()), ...rows.map((row) => String(row['name']))]);
    },
    async addEverRegistered(names) {
      await file.addEverRegistered(names);
      await database.query(ADD_EVER_REGISTERED, [names]);
    },
    ...postgresTurns(database, now),
    async readNotice() {
      const [row] = await database.query('SELECT notice FROM webdist_rotation');
      return row && parseNotice(String(row['notice']));
    },
    async writeNotice(notice, replacedRun) {
      const values = [notice.run, noticeText(notice), replacedRun ?? null];
      return (await database.query(WRITE_NOTICE, values)).length > 0;
    },
    async close() {
      clearInterval(retrying);
      await database.close();
    },
  };
}

async function load(query: Query): Promise<RegisteredKeys> {
  const rows = await query('SELECT apple_item_id, key_id, spki, seen_at FROM webdist_registered_key');
  return Object.fromEntries(
    rows.map((row) => [
      String(row['apple_item_id']),
      { keyId: String(row['key_id']), spki: String(row['spki']), seenAt: (row['seen_at'] as Date).toISOString() },
    ]),
  );
}

async function save(query: Query, keys: RegisteredKeys, at: Date, appleItemIds: readonly string[]): Promise<void> {
  const known = Object.entries(keys);
  await query(SAVE, [
    known.map(([appleItemId]) => appleItemId),
    known.map(([, key]) => key.keyId),
    known.map(([, key]) => key.spki),
    known.map(([, key]) => key.seenAt),
  ]);
  await query(FORGET, [appleItemIds.filter((appleItemId) => !Object.hasOwn(keys, appleItemId)), at]);
}
