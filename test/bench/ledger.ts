/**
 * What a request costs the ledger when it holds a thousand, a hundred thousand and ten million installs, and what a
 * record weighs. Alone: `node test/bench/ledger.ts [--quick]`; `--quick` leaves out the ten million.
 */

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Ledger } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { entryOf, LIFETIME, NOW, newNonce, options, subjectOf } from '../ledger/contract.ts';

/** Medians, microseconds a call of one entry; bytes a record with its indexes. */
export type LedgerBenchRow = {
  readonly name: string;
  readonly installs: number;
  readonly recordMicroseconds: number;
  readonly confirmMicroseconds: number;
  readonly recordP99Microseconds: number;
  readonly installBytes: number;
  readonly tokenBytes: number;
};

const SIZES = [1_000, 100_000, 10_000_000];
const CALLS = 1000;
/** As many tokens as a tenth of the installs: they are remembered for a day only. */
const TOKEN_SHARE = 10;
const APP = '6500000001';

/** Measures every backend there is here, smallest first. */
export async function benchLedger({ quick = false } = {}): Promise<readonly LedgerBenchRow[]> {
  const sizes = quick ? SIZES.slice(0, 2) : SIZES;
  const rows: LedgerBenchRow[] = [];
  for (const installs of sizes) rows.push(await benchSqlite(installs));
  if (!noPostgres) for (const installs of sizes) rows.push(await benchPostgres(installs));
  return rows;
}

async function benchSqlite(installs: number): Promise<LedgerBenchRow> {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-bench-'));
  const path = join(folder, 'ledger.sqlite');
  const url = `sqlite://${path}`;
  try {
    await (await openLedger(url, options)).close();
    const fill = (sql: string, count: number) => {
      const before = statSync(path).size;
      const database = new DatabaseSync(path);
      database.exec(`PRAGMA synchronous = OFF;
        WITH RECURSIVE number (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ${count}) ${sql}`);
      database.close();
      return (statSync(path).size - before) / count;
    };
    const installBytes = fill(
      `INSERT INTO install SELECT unhex(printf('%032x', i)), '${APP}', ${NOW} - i FROM number`,
      installs,
    );
    const tokenBytes = fill(
      `INSERT INTO install_token SELECT unhex(printf('%032x', i)), unhex(printf('%032x', i)), '${APP}', ${NOW} - i FROM number`,
      installs / TOKEN_SHARE,
    );
    const ledger = await openLedger(url, options);
    const measured = await measure(ledger, installs);
    await ledger.close();
    return { name: 'sqlite', installs, ...measured, installBytes, tokenBytes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchPostgres(installs: number): Promise<LedgerBenchRow> {
  const server = await openPostgresServer();
  try {
    const url = await server.freshUrl();
    const database = url.split('/').at(-1);
    const ledger = await openLedger(url, options);
    const fill = async (table: string, values: string, count: number) => {
      await server.admin(
        `INSERT INTO ${table} SELECT ${values} FROM generate_series(1, ${count}) AS number (i)`,
        database,
      );
      await server.admin(`VACUUM ANALYZE ${table}`, database);
      const [size] = await server.admin(`SELECT pg_total_relation_size('${table}') AS bytes`, database);
      return Number(size?.['bytes']) / count;
    };
    const id = `lpad(to_hex(i), 32, '0')::uuid`;
    const installBytes = await fill('webdist_install', `${id}, '${APP}', ${NOW} - i`, installs);
    const tokenBytes = await fill(
      'webdist_install_token',
      `${id}, ${id}, '${APP}', ${NOW} - i`,
      installs / TOKEN_SHARE,
    );
    const measured = await measure(ledger, installs);
    await ledger.close();
    return { name: 'postgres', installs, ...measured, installBytes, tokenBytes };
  } finally {
    await server.close();
  }
}

/** Calls one after the other: half of the tokens for a subject that is known, every confirmation a new install. */
async function measure(ledger: Ledger, installs: number) {
  const subject = () =>
    Math.ceil(Math.random() * 2 * installs)
      .toString(16)
      .padStart(32, '0');
  const times = async (work: (subject: string) => Promise<unknown>) => {
    const took: number[] = [];
    for (let call = 0; call < CALLS * 1.2; call++) {
      const who = subject();
      const before = performance.now();
      await work(who);
      took.push((performance.now() - before) * 1000);
    }
    // The first sixth only warms up.
    return took.slice(CALLS * 0.2).sort((a, b) => a - b);
  };
  const at = (took: readonly number[], share: number) => Math.round(took[Math.floor(took.length * share)] ?? 0);
  const record = await times((who) => ledger.record([entryOf(who, NOW + LIFETIME)]));
  const confirm = await times(() => ledger.confirm([{ appleItemId: APP, subject: subjectOf(newNonce()) }], NOW));
  return {
    recordMicroseconds: at(record, 0.5),
    recordP99Microseconds: at(record, 0.99),
    confirmMicroseconds: at(confirm, 0.5),
  };
}

if (import.meta.main) console.table(await benchLedger({ quick: process.argv.includes('--quick') }));
