/**
 * What a request costs the ledger with a thousand, a hundred thousand and ten million installs, and the size of a
 * record. Can be run alone: `node test/bench/ledger.ts [--quick]`; `--quick` omits the ten million.
 */

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { Ledger } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { APP, entryOf, installOf, NOW, subjectOf } from '../ledger/contract.ts';

/** Medians: microseconds per call with one entry; bytes per record, including its indexes. */
export type LedgerBenchRow = {
  readonly name: string;
  readonly installs: number;
  readonly lookupMicroseconds: number;
  readonly lookupP99Microseconds: number;
  readonly evidenceMicroseconds: number;
  readonly installBytes: number;
};

const SIZES = [1_000, 100_000, 10_000_000];
const CALLS = 1000;
const TAGS = 2 ** 45;
/** Odd, and small enough for the product with the largest number of installs to be exact. */
const SCATTER = 104_729_027;

/** Measures every backend that is available here, the smallest size first. */
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
    await (await openLedger(url)).close();
    const before = statSync(path).size;
    const database = new DatabaseSync(path);
    // The tags of real subjects are random; multiplying by an odd number scatters these.
    database.exec(`PRAGMA synchronous = OFF;
      WITH RECURSIVE number (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < ${installs})
      INSERT INTO install SELECT i * ${SCATTER} % ${TAGS}, '${APP}', ${NOW} - i, ${NOW} FROM number`);
    database.close();
    const installBytes = (statSync(path).size - before) / installs;
    const ledger = await openLedger(url);
    const measured = await measure(ledger, installs);
    await ledger.close();
    return { name: 'sqlite', installs, ...measured, installBytes };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function benchPostgres(installs: number): Promise<LedgerBenchRow> {
  const server = await openPostgresServer();
  try {
    const url = await server.freshUrl();
    const database = url.split('/').at(-1);
    const ledger = await openLedger(url);
    await server.admin(
      `INSERT INTO webdist_install SELECT i * ${SCATTER}::numeric % ${TAGS}, '${APP}', ${NOW} - i, ${NOW}
         FROM generate_series(1, ${installs}) AS number (i)`,
      database,
    );
    await server.admin('VACUUM ANALYZE webdist_install', database);
    const [size] = await server.admin(`SELECT pg_total_relation_size('webdist_install') AS bytes`, database);
    const installBytes = Number(size?.['bytes']) / installs;
    const measured = await measure(ledger, installs);
    await ledger.close();
    return { name: 'postgres', installs, ...measured, installBytes };
  } finally {
    await server.close();
  }
}

/** Sequential calls: half of the lookups are for a known subject, and all evidence is for new installs. */
async function measure(ledger: Ledger, installs: number) {
  const known = () => (Math.ceil(Math.random() * 2 * installs) * SCATTER) % TAGS;
  const times = async (work: () => unknown) => {
    const took: number[] = [];
    for (let call = 0; call < CALLS * 1.2; call++) {
      const before = performance.now();
      await work();
      took.push((performance.now() - before) * 1000);
    }
    // The first sixth only warms up.
    return took.slice(CALLS * 0.2).sort((a, b) => a - b);
  };
  const at = (took: readonly number[], share: number) => Math.round(took[Math.floor(took.length * share)] ?? 0);
  const lookup = await times(() => ledger.lookUp([entryOf(known())]));
  let added = 0;
  const evidence = await times(() => ledger.addInstalls([installOf(subjectOf(`new ${added++}`))]));
  return {
    lookupMicroseconds: at(lookup, 0.5),
    lookupP99Microseconds: at(lookup, 0.99),
    evidenceMicroseconds: at(evidence, 0.5),
  };
}

if (import.meta.main) console.table(await benchLedger({ quick: process.argv.includes('--quick') }));
