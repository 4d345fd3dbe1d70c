/** The simulation's model of PostgreSQL gives the same rows as a real one, statement by statement, for the same histories. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import t from 'tap';
import { noPostgres, sharedPostgres } from '../../harness/postgres.ts';
import { simulate } from '../../simulation/simulate.ts';

type Executed = {
  readonly text: string;
  readonly values: unknown[];
  readonly nowSeconds: number;
  readonly rows: object[];
};

/** The clock of the simulation instead of the server's: functions that come before those of PostgreSQL. */
const CLOCK = `
  CREATE SCHEMA simulated;
  CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql AS
    $$ SELECT to_timestamp(current_setting('simulated.now')::float8) $$;
  CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT simulated.now() $$;
  SET search_path = public, simulated, pg_catalog`;

/** PostgreSQL's times have microseconds. */
const TOLERANCE_SECONDS = 0.001;

const sorted = (rows: readonly object[]) => rows.map((row) => JSON.stringify(row)).sort();

/** Whether two results are the same: rows in any order, numbers as text or not. */
function isSame(real: readonly object[], model: readonly object[]): boolean {
  const [one, other] = [sorted(real), sorted(model)];
  return (
    one.length === other.length &&
    one.every((text, index) => isSameRow(JSON.parse(text), JSON.parse(other[index] ?? '')))
  );
}

const isSameRow = (one: Record<string, unknown>, other: Record<string, unknown>): boolean =>
  Object.keys(one).every((name) => {
    const [a, b] = [one[name], other[name]];
    return a === b || (a !== null && b !== null && Math.abs(Number(a) - Number(b)) < TOLERANCE_SECONDS);
  });

// Three seeds with PostgreSQL.
for (const seed of ['1', '2', '13'])
  t.test(`the history of seed ${seed}`, { skip: noPostgres }, async (t) => {
    const file = join(t.testdir(), 'history.json');
    const { code, output } = await simulate('--seed', seed, '--hours', '0.05', '--history', file);
    t.equal(code, 0, output);
    const { freshUrl } = await sharedPostgres();
    const client = new pg.Client(await freshUrl());
    await client.connect();
    t.teardown(() => client.end());
    await client.query(CLOCK);
    const history: Executed[] = JSON.parse(readFileSync(file, 'utf8'));
    t.ok(history.length > 1000, `${history.length} statements`);
    for (const { text, values, nowSeconds, rows } of history) {
      await client.query(`SET simulated.now = ${nowSeconds}`);
      const real = values.length > 0 ? await client.query(text, values) : await client.query(text);
      if (!isSame(real.rows ?? [], rows)) return t.strictSame(real.rows, rows, text);
    }
    t.comment(`${history.length} statements, ${new Set(history.map(({ text }) => text)).size} different ones`);
  });
