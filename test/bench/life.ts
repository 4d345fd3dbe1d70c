/**
 * Benchmarks besides the plain load: many apps at once, start-up, memory, two processes.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openProcess } from '../harness/process.ts';
import { settingsIn } from '../harness/service.ts';
import { runLoad, startServer } from './processes.ts';
import { manyApps } from './server.ts';
import { batchOf, measureOnce, PAGE, warmUp } from './servers.ts';
import { type Figure, figureOf } from './statistics.ts';

type Rounds = { readonly rounds: number; readonly seconds: number };

export type BatchRow = {
  readonly path: string;
  readonly apps: number;
  readonly microseconds: Figure;
  readonly ofSingle: Figure;
};

/** CPU time of one `/install-tokens` and of one restore, compared with one `/install-token` in the same round. */
export async function benchBatches({ rounds, seconds }: Rounds): Promise<BatchRow[]> {
  const [server, device] = [await startServer('full'), await startServer('device')];
  const accessToken = await accessTokenOf(device.url);
  const loads = [1, 10, 100].flatMap((apps) => [
    { apps, server, load: batchOf(apps) },
    { apps, server: device, load: restoreOf(apps, accessToken) },
  ]);
  const took = loads.map(() => [] as { microseconds: number; ofSingle: number }[]);
  await warmUp(server);
  for (let round = 0; round <= rounds; round++) {
    const single = await measureOnce(server, { ...PAGE, connections: 64, seconds });
    for (const [index, { server, load }] of loads.entries()) {
      const { microseconds } = await measureOnce(server, { ...load, connections: 4, seconds });
      // The first round warms up.
      if (round > 0) took[index]?.push({ microseconds, ofSingle: microseconds / single.microseconds });
    }
  }
  await server.stop();
  await device.stop();
  return took.map((all, index) => ({
    path: loads[index]?.load.path ?? '',
    apps: loads[index]?.apps ?? 0,
    microseconds: figureOf(all.map((one) => one.microseconds)),
    ofSingle: figureOf(all.map((one) => one.ofSingle)),
  }));
}

/** The access token of a device that once installed an app. */
async function accessTokenOf(url: string): Promise<string> {
  const headers = { ...PAGE.headers };
  const body = JSON.stringify({ app: manyApps[0]?.bundleId });
  const linked = await fetch(`${url}${PAGE.path}`, { method: 'POST', headers, body });
  const { installUrl } = (await linked.json()) as { installUrl: string };
  const exchange = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: new URLSearchParams(installUrl.split('?')[1]).get('token') ?? '',
  });
  const exchanged = await fetch(`${url}/oauth/token`, { method: 'POST', body: exchange });
  return ((await exchanged.json()) as { access_token: string }).access_token;
}

const restoreOf = (apps: number, accessToken: string) => ({
  path: '/marketplace-kit/restore',
  body: JSON.stringify({
    apps: manyApps.slice(0, apps).map(({ appleItemId }) => ({ appleItemId, appleVersionId: '2000000042' })),
    platform: 'iOS',
    osVersion: '18.5',
  }),
  headers: { 'content-type': 'application/json', authorization: `Bearer ${accessToken}` },
});

const BARE = `import { fastify } from 'fastify'; const app = fastify(); app.get('/', () => ({}));
console.log(await app.listen({ host: '127.0.0.1', port: 0 }));`;

export type StartRow = { readonly name: string; readonly milliseconds: Figure };

/** From the start of the process to its first good answer: a bare Fastify server, `webdist serve` as built and from source. */
export async function benchStart({ rounds }: Pick<Rounds, 'rounds'>): Promise<StartRow[]> {
  const cache = join(tmpdir(), 'webdist-test-compile-cache');
  const bare = async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', BARE], {
      env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: cache },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [url] = await once(child.stdout, 'data');
    await fetch(String(url).trim());
    return async () => {
      child.kill();
      await once(child, 'exit');
    };
  };
  const folder = mkdtempSync(join(tmpdir(), 'webdist-bench-'));
  const settings = settingsIn(folder);
  const full = (program: string) => async () => {
    const service = await openProcess(settings, { program });
    while (!(await fetch(`${service.url}/health/ready`)).ok);
    return () => service.end('SIGKILL');
  };
  execFileSync('npm', ['run', '-s', 'build'], { stdio: ['ignore', 'ignore', 'inherit'] });
  const starts = {
    'bare Fastify': bare,
    'webdist serve, built': full('dist/main.js'),
    'webdist serve, from source': full('src/main.ts'),
  };
  const took = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++)
    for (const [name, start] of Object.entries(starts)) {
      const began = performance.now();
      const end = await start();
      // The first round fills the compile cache and creates the ledger.
      if (round > 0) took.set(name, [...(took.get(name) ?? []), performance.now() - began]);
      await end();
    }
  rmSync(folder, { recursive: true, force: true });
  return [...took].map(([name, all]) => ({ name, milliseconds: figureOf(all) }));
}

export type MemoryRow = { readonly tokens: number; readonly residentMegabytes: number };

/** Resident memory of the full server after a tenth, two tenths, … of the tokens. */
export async function benchMemory(tokens: number): Promise<MemoryRow[]> {
  const server = await startServer('full');
  const rows: MemoryRow[] = [];
  for (let made = 0; made < tokens; ) {
    const goal = made + tokens / 10;
    while (made < goal) made += (await runLoad({ ...PAGE, url: server.url, connections: 64, seconds: 1 })).answered;
    rows.push({ tokens: made, residentMegabytes: Math.round((await server.used()).rssBytes / 2 ** 20) });
  }
  await server.stop();
  return rows;
}

export type TwinRow = { readonly name: string; readonly microseconds: Figure; readonly perSecond: Figure };

type Measured = { readonly microseconds: number; readonly perSecond: number };

/** One full server, then two at once, each with its own ledger and core (and the loads on the same two cores). */
export async function benchTwins({ rounds, seconds }: Rounds): Promise<TwinRow[]> {
  const servers = [await startServer('full'), await startServer('full', { core: '1' })];
  const load = { ...PAGE, connections: 64, seconds };
  const took = { one: [] as Measured[], two: [] as Measured[] };
  for (let round = 0; round <= rounds; round++)
    for (const [name, some] of [
      ['one', servers.slice(0, 1)],
      ['two', servers],
    ] as const) {
      const all: Measured[] = await Promise.all(some.map((server) => measureOnce(server, load)));
      const sum = (of: (one: (typeof all)[number]) => number) => all.reduce((total, one) => total + of(one), 0);
      const perSecond = sum((one) => one.perSecond);
      if (round > 0)
        took[name].push({ microseconds: sum((one) => one.microseconds * one.perSecond) / perSecond, perSecond });
    }
  for (const server of servers) await server.stop();
  return Object.entries(took).map(([name, all]) => ({
    name: `${name} process${name === 'two' ? 'es' : ''}`,
    microseconds: figureOf(all.map((one) => one.microseconds)),
    perSecond: figureOf(all.map((one) => one.perSecond)),
  }));
}
