/** The turns of replicas that share PostgreSQL, by the clock of the database alone. */

import type { PostgresDatabase } from '../ledger/postgres-database.ts';
import { TURN_MS, type Turns } from './turns.ts';

const HELD = `now() + interval '${TURN_MS} milliseconds'`;

const TAKE = `
  INSERT INTO webdist_check AS known (configuration, replica, held_until, began_at) VALUES ($1, $2, ${HELD}, now())
  ON CONFLICT (configuration) DO UPDATE
    SET replica = excluded.replica, held_until = excluded.held_until, began_at = excluded.began_at
    WHERE known.held_until <= now()
      AND (known.checked_at IS NULL OR known.next_at <= now()
        OR known.checked_at < now() - make_interval(secs => $3::float8))
  RETURNING 1`;

const LAST = `
  SELECT extract(epoch FROM now() - checked_at) AS began_seconds_ago, extract(epoch FROM next_at - now()) AS next_in_seconds,
      failures, CASE WHEN findings_id IS DISTINCT FROM $2 THEN findings_id END AS findings_id,
      CASE WHEN findings_id IS DISTINCT FROM $2 THEN findings END AS findings,
      extract(epoch FROM clock_timestamp()) AS now_seconds
    FROM (VALUES ($1)) AS one (configuration) LEFT JOIN webdist_check USING (configuration)`;

const KEEP = `UPDATE webdist_check SET held_until = ${HELD} WHERE configuration = $1 AND replica = $2`;

const END = `
  UPDATE webdist_check
    SET held_until = '-infinity', checked_at = began_at, next_at = now() + make_interval(secs => $3::float8), failures = $4,
      findings_id = $5, findings = $6
    WHERE configuration = $1 AND replica = $2`;

const DROP = `UPDATE webdist_check SET held_until = '-infinity' WHERE configuration = $1 AND replica = $2`;

const FORGET = `DELETE FROM webdist_check WHERE began_at < now() - interval '7 days'`;

/** `now`: this machine's clock, in milliseconds since 1970. */
export function postgresTurns({ query }: Pick<PostgresDatabase, 'query'>, now: () => number): Turns {
  return {
    async takeTurn({ configuration, replica, wantedForSeconds, knownId }) {
      const sentAt = now();
      const [row = {}] = await query(LAST, [configuration, knownId ?? null]);
      const storeOffsetSeconds = Number(row['now_seconds']) - (sentAt + now()) / 2000;
      const taken = await query(TAKE, [configuration, replica, wantedForSeconds ?? null]);
      const last = row['failures'] === null || row['began_seconds_ago'] === null ? undefined : lastCheck(row);
      return { isMine: taken.length > 0, last, storeOffsetSeconds };
    },
    async keepTurn({ configuration, replica }) {
      await query(KEEP, [configuration, replica]);
    },
    async endTurn({ configuration, replica, nextInSeconds, failures, findings }) {
      const values = [configuration, replica, nextInSeconds, failures, findings.id, findings.text];
      await query(END, values);
      await query(FORGET);
    },
    async dropTurn({ configuration, replica }) {
      await query(DROP, [configuration, replica]);
    },
  };
}

const lastCheck = (row: Record<string, unknown>) => ({
  beganSecondsAgo: Number(row['began_seconds_ago']),
  nextInSeconds: Number(row['next_in_seconds']),
  failures: Number(row['failures']),
  findings: row['findings_id'] === null ? undefined : { id: String(row['findings_id']), text: String(row['findings']) },
});
