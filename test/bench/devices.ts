/**
 * The cost of a token, depending on the caller and on the ledger: a first visit, a returning device, PostgreSQL nearby
 * and a millisecond away, a read replica that lags. Also measures what first visits write.
 */

import { readdirSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import type { Environment } from '../../src/environment.ts';
import { listen } from '../harness/port.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { runLoad, type ServerProcess, startServer } from './processes.ts';
import { measureOnce, PAGE, warmUp } from './servers.ts';
import { type Figure, figureOf } from './statistics.ts';

type Rounds = { readonly rounds: number; readonly seconds: number };

export type DeviceRow = {
  readonly name: string;
  readonly connections: number;
  readonly microseconds: Figure;
  /** As a multiple of a first visit's token in the same round. */
  readonly ofFirstVisit: Figure;
  readonly p50: Figure;
  readonly p99: Figure;
};

type Asked = { readonly name: string; readonly server: ServerProcess; readonly isFirstVisit?: boolean };

/** CPU time and latency of a token, for every kind of device and ledger. Without PostgreSQL, its rows are skipped by name. */
export async function benchDevices({ rounds, seconds }: Rounds): Promise<DeviceRow[]> {
  const sqlite = await startServer('full');
  const installed = await startServer('full', { settings: { WEBDIST_INSTALL_EVIDENCE: 'issue' } });
  const postgres = await openPostgresLedgers();
  const asked: readonly Asked[] = [
    { name: 'first visit', server: sqlite, isFirstVisit: true },
    { name: 'returns, no install', server: sqlite },
    { name: 'returns, with an install', server: installed },
    ...postgres.asked,
  ];
  try {
    for (const { server } of asked) await warmUp(server);
    const rows: DeviceRow[] = [];
    for (const connections of [1, 64]) rows.push(...(await rowsAt(asked, connections, { rounds, seconds })));
    return rows;
  } finally {
    for (const server of new Set(asked.map((one) => one.server))) await server.stop();
    await postgres.close();
  }
}

async function rowsAt(asked: readonly Asked[], connections: number, { rounds, seconds }: Rounds): Promise<DeviceRow[]> {
  type Round = Awaited<ReturnType<typeof measureOnce>> & { readonly ofFirstVisit: number };
  const took = asked.map(() => [] as Round[]);
  for (let round = 0; round < rounds; round++) {
    let first = 1;
    for (const [index, { server, isFirstVisit = false }] of asked.entries()) {
      const once = await measureOnce(server, { ...PAGE, connections, seconds, isFirstVisit });
      if (index === 0) first = once.microseconds;
      took[index]?.push({ ...once, ofFirstVisit: once.microseconds / first });
    }
  }
  return took.map((all, index) => ({
    name: asked[index]?.name ?? '',
    connections,
    microseconds: figureOf(all.map((one) => one.microseconds)),
    ofFirstVisit: figureOf(all.map((one) => one.ofFirstVisit)),
    p50: figureOf(all.map((one) => one.p50)),
    p99: figureOf(all.map((one) => one.p99)),
  }));
}

async function openPostgresLedgers(): Promise<{ asked: readonly Asked[]; close(): Promise<void> }> {
  if (noPostgres) {
    console.log(`Skipped: the ledger in PostgreSQL. ${noPostgres}.`);
    return { asked: [], close: async () => undefined };
  }
  const primary = await openPostgresServer();
  const replica = await primary.openReplica();
  const delayed = await openDelay(Number(new URL(primary.url).port), 1);
  const secret = { WEBDIST_LEDGER_SECRET: 'a'.repeat(64) };
  const start = async (settings: Environment) => startServer('full', { settings: { ...secret, ...settings } });
  const url = await primary.freshUrl();
  const asked = [
    { name: 'PostgreSQL nearby', server: await start({ WEBDIST_LEDGER: url }) },
    {
      name: 'PostgreSQL 1 ms away',
      server: await start({ WEBDIST_LEDGER: Object.assign(new URL(url), { port: delayed.port }).href }),
    },
    {
      name: 'PostgreSQL 1 ms away, read replica nearby that lags',
      server: await start({
        WEBDIST_LEDGER: Object.assign(new URL(url), { port: delayed.port }).href,
        WEBDIST_LEDGER_READ: replica.through(url),
      }),
    },
  ];
  await replica.admin('SELECT pg_wal_replay_pause()');
  return {
    asked,
    async close() {
      delayed.close();
      await replica.close();
      await primary.close();
    },
  };
}

/** Forwards connections to a port of this machine; each answer is delayed by this many milliseconds. */
async function openDelay(port: number, milliseconds: number) {
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ port, host: '127.0.0.1', noDelay: true });
    client.pipe(upstream);
    upstream.on('data', (chunk) => setTimeout(() => client.write(chunk), milliseconds));
    for (const [one, other] of [[client, upstream] as const, [upstream, client] as const])
      one.on('error', () => undefined).on('close', () => other.destroy());
  });
  return { port: await listen(server), close: () => server.close() };
}

export type WrittenRow = { readonly tokens: number; readonly what: string; readonly bytesPerMillion: number };

/** What token requests of first visits write: measured with fewer requests, and scaled to a million. */
export async function benchWritten(tokens: number): Promise<WrittenRow[]> {
  const server = await startServer('full');
  const sizes = () => ({
    ledger: sizeOf(join(server.folder, 'data')),
    log: statSync(join(server.folder, 'log')).size,
  });
  await warmUp(server);
  const before = sizes();
  let made = 0;
  while (made < tokens)
    made += (await runLoad({ ...PAGE, url: server.url, connections: 64, seconds: 1, isFirstVisit: true })).answered;
  const after = sizes();
  await server.stop();
  const row = (what: string, bytes: number) => ({
    tokens: made,
    what,
    bytesPerMillion: Math.round((bytes / made) * 1e6),
  });
  return [row('ledger and data folder', after.ledger - before.ledger), row('log', after.log - before.log)];
}

const sizeOf = (folder: string): number =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
