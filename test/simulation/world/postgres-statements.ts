/**
 * A model of the statements that `src` sends to PostgreSQL: each runs on plain tables, all or nothing. A statement that is
 * not in this table fails the run. `test/simulation/postgres-model.test.ts` runs the same histories on a real PostgreSQL.
 */

/** The tables. Times in seconds since 1970, as fractions. */
export type Tables = {
  version: number;
  /** By subject and AppleItemID. */
  installs: Map<string, { installedAt: number; redownloadAt: number }>;
  beatAt: number;
  keys: Map<string, { keyId: string; spki: string; seenAt: number }>;
  notice: { run: string; text: string } | undefined;
  everRegistered: Set<string>;
  orders: string | undefined;
  replicas: Map<string, { report: string; seenAt: number }>;
  checks: Map<string, Check>;
  fingerprint: string | undefined;
};

type Check = {
  replica: string;
  heldUntil: number;
  beganAt: number;
  checkedAt: number | null;
  nextAt: number | null;
  failures: number;
  findingsId: string | null;
  findings: string | null;
};

type Row = Record<string, unknown>;
type Values = readonly unknown[];
/** `nowSeconds`: the time of the transaction's start. */
type Statement = (tables: Tables, values: Values, nowSeconds: number) => Row[];

export const emptyTables = (): Tables => ({
  version: 0,
  installs: new Map(),
  beatAt: 0,
  keys: new Map(),
  notice: undefined,
  everRegistered: new Set(),
  orders: undefined,
  replicas: new Map(),
  checks: new Map(),
  fingerprint: undefined,
});

const TURN_SECONDS = 6;
const none: Row[] = [];
const list = (value: unknown) => value as readonly unknown[];

const HELD = "now() + interval '6000 milliseconds'";

/** By text, with every run of white space as one space. */
const statements: Readonly<Record<string, Statement>> = {
  'SELECT 1': () => [{ '?column?': 1 }],
  "SELECT to_regclass('webdist_schema') IS NOT NULL AS found": ({ version }) => [{ found: version > 0 }],
  'SELECT coalesce(max(version), 0) AS version FROM webdist_schema': ({ version }) => [{ version }],
  'CREATE TABLE IF NOT EXISTS webdist_schema (version integer PRIMARY KEY)': () => none,
  'INSERT INTO webdist_schema (version) VALUES ($1)': (tables, [version]) => {
    tables.version = Number(version);
    return none;
  },

  // The ledger.
  'SELECT install.installed_at, install.redownload_at, extract(epoch FROM now())::float8 AS now FROM unnest($1::bigint[], $2::text[]) WITH ORDINALITY AS entry (subject, apple_item_id, position) LEFT JOIN webdist_install AS install USING (subject, apple_item_id) ORDER BY entry.position':
    ({ installs }, [subjects, apps], now) =>
      list(subjects).map((subject, index) => {
        const found = installs.get(`${subject} ${list(apps)[index]}`);
        return {
          installed_at: found ? String(found.installedAt) : null,
          redownload_at: found ? String(found.redownloadAt) : null,
          now,
        };
      }),
  'INSERT INTO webdist_install AS known (subject, apple_item_id, installed_at, redownload_at) SELECT subject, apple_item_id, min(installed_at), min(redownload_at) FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) AS install (subject, apple_item_id, installed_at, redownload_at) GROUP BY subject, apple_item_id ORDER BY subject, apple_item_id ON CONFLICT (subject, apple_item_id) DO UPDATE SET installed_at = least(known.installed_at, excluded.installed_at), redownload_at = least(known.redownload_at, excluded.redownload_at) WHERE excluded.installed_at < known.installed_at OR excluded.redownload_at < known.redownload_at':
    ({ installs }, [subjects, apps, times, redownloads]) => {
      list(subjects).forEach((subject, index) => {
        const key = `${subject} ${list(apps)[index]}`;
        const known = installs.get(key) ?? { installedAt: Infinity, redownloadAt: Infinity };
        installs.set(key, {
          installedAt: Math.min(known.installedAt, Number(list(times)[index])),
          redownloadAt: Math.min(known.redownloadAt, Number(list(redownloads)[index])),
        });
      });
      return none;
    },
  'DELETE FROM webdist_install WHERE ctid = ANY (ARRAY ( SELECT ctid FROM webdist_install WHERE installed_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1':
    ({ installs }, [before, limit]) => {
      const due = [...installs].filter(([, { installedAt }]) => installedAt < Number(before)).slice(0, Number(limit));
      for (const [key] of due) installs.delete(key);
      return due.map(() => ({ '?column?': 1 }));
    },
  'UPDATE webdist_heartbeat SET beat_at = clock_timestamp() RETURNING extract(epoch FROM beat_at) AS seconds': (
    tables,
    _,
    now,
  ) => {
    tables.beatAt = now;
    return [{ seconds: String(now) }];
  },
  'SELECT extract(epoch FROM beat_at) AS seconds FROM webdist_heartbeat': ({ beatAt }) => [{ seconds: String(beatAt) }],
  'SELECT 1 FROM webdist_install LIMIT 1': ({ installs }) => (installs.size > 0 ? [{ '?column?': 1 }] : none),
  'SELECT count(*) AS installs FROM webdist_install': ({ installs }) => [{ installs: String(installs.size) }],
  'SELECT fingerprint FROM webdist_secret': ({ fingerprint }) => (fingerprint === undefined ? none : [{ fingerprint }]),
  'INSERT INTO webdist_secret (fingerprint) VALUES ($1) ON CONFLICT DO NOTHING': (tables, [fingerprint]) => {
    tables.fingerprint ??= String(fingerprint);
    return none;
  },

  // The registration store.
  'SELECT apple_item_id, key_id, spki, seen_at FROM webdist_registered_key': ({ keys }) =>
    [...keys].map(([id, { keyId, spki, seenAt }]) => ({
      apple_item_id: id,
      key_id: keyId,
      spki,
      seen_at: new Date(seenAt * 1000),
    })),
  'INSERT INTO webdist_registered_key AS known (apple_item_id, key_id, spki, seen_at) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) ON CONFLICT (apple_item_id) DO UPDATE SET key_id = excluded.key_id, spki = excluded.spki, seen_at = excluded.seen_at WHERE known.seen_at < excluded.seen_at':
    ({ keys }, [ids, keyIds, spkis, times]) => {
      list(ids).forEach((id, index) => {
        const seenAt = Date.parse(String(list(times)[index])) / 1000;
        const known = keys.get(String(id));
        if (!known || known.seenAt < seenAt)
          keys.set(String(id), { keyId: String(list(keyIds)[index]), spki: String(list(spkis)[index]), seenAt });
      });
      return none;
    },
  'DELETE FROM webdist_registered_key WHERE apple_item_id = ANY ($1) AND seen_at < $2': ({ keys }, [ids, before]) => {
    for (const id of list(ids)) {
      const known = keys.get(String(id));
      if (known && known.seenAt < (before as Date).getTime() / 1000) keys.delete(String(id));
    }
    return none;
  },
  'SELECT name FROM webdist_ever_registered': ({ everRegistered }) => [...everRegistered].map((name) => ({ name })),
  'INSERT INTO webdist_ever_registered SELECT unnest($1::text[]) ON CONFLICT DO NOTHING': (
    { everRegistered },
    [names],
  ) => {
    for (const name of list(names)) everRegistered.add(String(name));
    return none;
  },
  'SELECT notice FROM webdist_rotation': ({ notice }) => (notice ? [{ notice: notice.text }] : none),
  'INSERT INTO webdist_rotation AS known (run, notice) SELECT $1::text, $2::text WHERE $3::text IS NULL OR EXISTS (SELECT FROM webdist_rotation WHERE run = $3) ON CONFLICT (only_one) DO UPDATE SET run = excluded.run, notice = excluded.notice WHERE known.run = $3 RETURNING run':
    (tables, [run, text, replaced]) => {
      if (tables.notice ? tables.notice.run !== replaced : replaced !== null) return none;
      tables.notice = { run: String(run), text: String(text) };
      return [{ run }];
    },

  // Turns.
  [`INSERT INTO webdist_check AS known (configuration, replica, held_until, began_at) VALUES ($1, $2, ${HELD}, now()) ON CONFLICT (configuration) DO UPDATE SET replica = excluded.replica, held_until = excluded.held_until, began_at = excluded.began_at WHERE known.held_until <= now() AND (known.checked_at IS NULL OR known.next_at <= now() OR known.checked_at < now() - make_interval(secs => $3::float8)) RETURNING 1`]:
    ({ checks }, [configuration, replica, wanted], now) => {
      const known = checks.get(String(configuration));
      const held = { replica: String(replica), heldUntil: now + TURN_SECONDS, beganAt: now };
      if (!known) {
        const fresh = { checkedAt: null, nextAt: null, failures: 0, findingsId: null, findings: null };
        checks.set(String(configuration), { ...held, ...fresh });
        return [{ '?column?': 1 }];
      }
      const isDue = known.checkedAt === null || (known.nextAt !== null && known.nextAt <= now);
      const isWanted = wanted !== null && known.checkedAt !== null && known.checkedAt < now - Number(wanted);
      if (known.heldUntil > now || !(isDue || isWanted)) return none;
      Object.assign(known, held);
      return [{ '?column?': 1 }];
    },
  'SELECT extract(epoch FROM now() - checked_at) AS began_seconds_ago, extract(epoch FROM next_at - now()) AS next_in_seconds, failures, CASE WHEN findings_id IS DISTINCT FROM $2 THEN findings_id END AS findings_id, CASE WHEN findings_id IS DISTINCT FROM $2 THEN findings END AS findings, extract(epoch FROM clock_timestamp()) AS now_seconds FROM (VALUES ($1)) AS one (configuration) LEFT JOIN webdist_check USING (configuration)':
    ({ checks }, [configuration, knownId], now) => {
      const known = checks.get(String(configuration));
      const isNew = known && known.findingsId !== knownId;
      return [
        {
          began_seconds_ago: known && known.checkedAt !== null ? String(now - known.checkedAt) : null,
          next_in_seconds: known && known.nextAt !== null ? String(known.nextAt - now) : null,
          failures: known?.failures ?? null,
          findings_id: isNew ? known.findingsId : null,
          findings: isNew ? known.findings : null,
          now_seconds: String(now),
        },
      ];
    },
  [`UPDATE webdist_check SET held_until = ${HELD} WHERE configuration = $1 AND replica = $2`]: (
    { checks },
    [configuration, replica],
    now,
  ) => {
    const known = checks.get(String(configuration));
    if (known && known.replica === replica) known.heldUntil = now + TURN_SECONDS;
    return none;
  },
  "UPDATE webdist_check SET held_until = '-infinity', checked_at = began_at, next_at = now() + make_interval(secs => $3::float8), failures = $4, findings_id = $5, findings = $6 WHERE configuration = $1 AND replica = $2":
    ({ checks }, [configuration, replica, seconds, failures, findingsId, findings], now) => {
      const known = checks.get(String(configuration));
      if (!known || known.replica !== replica) return none;
      known.heldUntil = Number.NEGATIVE_INFINITY;
      known.checkedAt = known.beganAt;
      known.nextAt = now + Number(seconds);
      known.failures = Number(failures);
      known.findingsId = String(findingsId);
      known.findings = String(findings);
      return none;
    },
  "UPDATE webdist_check SET held_until = '-infinity' WHERE configuration = $1 AND replica = $2": (
    { checks },
    [configuration, replica],
  ) => {
    const known = checks.get(String(configuration));
    if (known && known.replica === replica) known.heldUntil = Number.NEGATIVE_INFINITY;
    return none;
  },
  "DELETE FROM webdist_check WHERE began_at < now() - interval '7 days'": ({ checks }, _, now) => {
    for (const [key, { beganAt }] of checks) if (beganAt < now - 7 * 86_400) checks.delete(key);
    return none;
  },

  // Orders.
  'SELECT orders FROM webdist_orders': ({ orders }) => (orders === undefined ? none : [{ orders }]),
  'INSERT INTO webdist_orders (orders) VALUES ($1) ON CONFLICT (only_one) DO UPDATE SET orders = excluded.orders': (
    tables,
    [orders],
  ) => {
    tables.orders = String(orders);
    return none;
  },
  'INSERT INTO webdist_replica (id, report, seen_at) VALUES ($1, $2, now()) ON CONFLICT (id) DO UPDATE SET report = excluded.report, seen_at = excluded.seen_at':
    ({ replicas }, [id, report], now) => {
      replicas.set(String(id), { report: String(report), seenAt: now });
      return none;
    },
  'SELECT report, extract(epoch FROM now() - seen_at)::float8 AS silent FROM webdist_replica ORDER BY id': (
    { replicas },
    _,
    now,
  ) => [...replicas].sort().map(([, { report, seenAt }]) => ({ report, silent: now - seenAt })),
  'DELETE FROM webdist_replica WHERE id = $1 OR seen_at < now() - make_interval(secs => $2)': (
    { replicas },
    [id, seconds],
    now,
  ) => {
    for (const [key, { seenAt }] of replicas) if (key === id || seenAt < now - Number(seconds)) replicas.delete(key);
    return none;
  },
};

const normalized = new Map<string, string>();

/** Runs one statement. Throws for a statement that the model does not know. */
export function runStatement(tables: Tables, text: string, values: Values, nowSeconds: number): Row[] {
  const known = normalized.get(text) ?? text.replace(/\s+/g, ' ').trim();
  normalized.set(text, known);
  // The migrations make empty tables, which the model has from the start.
  if (/^(CREATE TABLE webdist_\w+ \(|ALTER TABLE )/.test(known)) return none;
  const statement = statements[known];
  if (!statement) throw new Error(`The model of PostgreSQL does not know this statement: ${known}`);
  return statement(tables, values, nowSeconds);
}
