/**
 * `npm run bench -- [--quick | --full] [--json FILE] [--save] [--flame FILE.svg]`: prints every benchmark as a table,
 * and what became slower since the baseline; writes a flame graph of the full path. `--quick` stays under a minute,
 * `--full` adds ten million installs and a million tokens. CPU time per token is the operating system's accounting of
 * the server process; ratios are within one run.
 *
 * `node --max-semi-space-size=4 test/bench/main.ts` measures all Node servers with an option of V8.
 */

import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { benchCapacity, benchRefusals } from './capacity.ts';
import { benchDevices, benchWritten } from './devices.ts';
import { writeFlameGraph } from './flame.ts';
import { benchLedger } from './ledger.ts';
import { benchBatches, benchMemory, benchStart, benchTwins } from './life.ts';
import { benchMicro } from './micro.ts';
import { ALL_COMPILED, benchServers } from './servers.ts';
import { type Figure, shown } from './statistics.ts';

const BASELINE = join(import.meta.dirname, 'baseline.json');

const { values: given } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    full: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    json: { type: 'string' },
    flame: { type: 'string' },
  },
});
const { quick, full } = given;
const rounds = quick ? 3 : 5;
const seconds = quick ? 0.5 : 1;

const micro = await benchMicro({ rounds, calls: quick ? 2000 : 10_000 });
table('One part alone, CPU', micro, (row) => ({ part: row.name, µs: shown(row.microseconds, 2) }));

const servers = await benchServers({
  connections: quick ? [64] : [1, 16, 64, 256],
  rounds,
  seconds,
  ...(!quick && { warmAnswers: ALL_COMPILED }),
});
table('Servers: CPU a token, of the limit L; latency', servers, (row) => ({
  server: row.name,
  connections: row.connections,
  µs: shown(row.microseconds),
  L: shown(row.ofLimit, 2),
  'a second': shown(row.perSecond, 0),
  'p50 µs': row.p50.median,
  'p99 µs': row.p99.median,
  'p99.9 µs': row.p999.median,
  refused: row.refused,
}));

const devices = await benchDevices({ rounds, seconds });
table('Device and ledger, CPU a token', devices, (row) => ({
  what: row.name,
  connections: row.connections,
  µs: shown(row.microseconds),
  'of a first visit': shown(row.ofFirstVisit, 2),
  'p50 µs': shown(row.p50, 0),
  'p99 µs': shown(row.p99, 0),
}));

const written = await benchWritten(quick ? 20_000 : full ? 1_000_000 : 100_000);
table('Written by a million first visits, scaled from fewer', written, (row) => row);

const batches = await benchBatches({ rounds: quick ? 1 : Math.ceil(rounds / 2), seconds });
table('Many apps, CPU a call', batches, (row) => ({
  path: row.path,
  apps: row.apps,
  µs: shown(row.microseconds),
  'of one /install-token': shown(row.ofSingle),
}));

const capacity = await benchCapacity({ rounds: quick ? 1 : rounds, seconds: seconds * 2 });
table('Below and above the capacity of the full path', capacity, (row) => ({
  server: row.name,
  offered: row.share,
  sent: shown(row.sent, 2),
  'a second': shown(row.perSecond, 0),
  'of capacity': shown(row.ofCapacity, 2),
  'refused a second': shown(row.refusedPerSecond, 0),
  'p50 µs': shown(row.p50, 0),
  'p99 µs': shown(row.p99, 0),
  'p99 of p50': shown(row.p99OfP50),
  'p99 of that at half': shown(row.p99OfHalf),
  'refused p99 µs': shown(row.refusedP99, 0),
}));

const refusals = await benchRefusals({ rounds, seconds });
table('A refusal, CPU', refusals, (row) => ({
  what: row.name,
  µs: shown(row.microseconds),
  'of a token': shown(row.ofToken, 2),
}));

const start = await benchStart({ rounds: quick ? 1 : rounds });
table('Start to ready', start, (row) => ({ what: row.name, ms: shown(row.milliseconds, 0) }));

const twins = quick ? [] : await benchTwins({ rounds: Math.ceil(rounds / 2), seconds });
table('Two processes', twins, (row) => ({
  what: row.name,
  µs: shown(row.microseconds),
  'a second': shown(row.perSecond, 0),
}));

const memory = quick ? [] : await benchMemory(full ? 1_000_000 : 50_000);
table('Resident memory', memory, (row) => row);

const ledger = quick ? [] : await benchLedger({ quick: !full });
table('Ledger by size', ledger, (row) => row);

/** What a later run is compared with: CPU times, as multiples of the limit where there is one. */
const figures: Record<string, Figure> = Object.fromEntries([
  ...micro.map((row) => [row.name, row.microseconds]),
  ...servers.map((row) => [`${row.name} at ${row.connections}, L`, row.ofLimit]),
  ...devices.map((row) => [`${row.name} at ${row.connections}, of a first visit`, row.ofFirstVisit]),
  ...batches.map((row) => [`${row.path} with ${row.apps} apps, of one`, row.ofSingle]),
]);
if (existsSync(BASELINE)) compare(JSON.parse(readFileSync(BASELINE, 'utf8')));
const machine = `${cpus().length} × ${cpus()[0]?.model}, Node ${process.version}`;
const result = { date: new Date().toISOString(), machine, quick, figures };
if (given.json)
  write(given.json, {
    ...result,
    micro,
    servers,
    devices,
    written,
    batches,
    capacity,
    refusals,
    start,
    twins,
    memory,
    ledger,
  });
if (given.flame) await writeFlameGraph(mkdtempSync(join(tmpdir(), 'webdist-profile-')), given.flame, seconds * 5);
if (given.save) write(BASELINE, result);

function table<Row>(title: string, rows: readonly Row[], columns: (row: Row) => object): void {
  if (rows.length === 0) return;
  console.log(`\n${title}`);
  console.table(rows.map(columns));
}

/** The noise is half of the interquartile ranges of both runs; a smaller difference does not count as a change. */
function compare(baseline: typeof result): void {
  console.log(`\nCompared with ${baseline.date}, ${baseline.machine}`);
  for (const [name, now] of Object.entries(figures)) {
    const before = baseline.figures[name];
    if (!before) continue;
    const change = now.median / before.median - 1;
    const noise = Math.hypot(now.spread, before.spread) / 2;
    const said = Math.abs(change) <= noise ? 'the same' : change > 0 ? 'SLOWER' : 'faster';
    console.log(`${name}: ${said}, by ${(change * 100).toFixed(0)} % ± ${(noise * 100).toFixed(0)} %`);
  }
}

function write(path: string, value: unknown): void {
  writeFileSync(path, `${JSON.stringify(value, null, 2)}\n`);
}
