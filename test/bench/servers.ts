/**
 * CPU time per token, throughput and latency of webdist, bare and full, compared with the limit and with its peers. All
 * servers run at once and take turns, so that noise affects all of them equally; ratios are within one round.
 */

import { API_KEY, buildGo, buildRust, hasCargo, hasGo, runLoad, type ServerProcess, startServer } from './processes.ts';
import { type Figure, figureOf } from './statistics.ts';

export type ServerRow = {
  readonly name: string;
  readonly connections: number;
  /** CPU time of the server process for one response. */
  readonly microseconds: Figure;
  /** The same, as a multiple of the limit in the same round: a constant response plus one signature. */
  readonly ofLimit: Figure;
  readonly perSecond: Figure;
  readonly p50: Figure;
  readonly p99: Figure;
  readonly p999: Figure;
  /** Responses other than 200, in all rounds together. */
  readonly refused: number;
};

/** What a page sends. */
export const PAGE = {
  path: '/install-token',
  body: '{"app":"com.example.trailmap"}',
  headers: { 'content-type': 'application/json', origin: 'https://shop.example.com' },
};

/** A request for the tokens of this many apps, from a server with an API key. */
export const batchOf = (apps: number) => ({
  path: '/install-tokens',
  body: JSON.stringify({
    requests: Array.from({ length: apps }, (_, index) => ({ app: 'com.example.trailmap', subject: `s${index}` })),
  }),
  headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
});

/** Servers in other languages; undefined where their compiler is missing. */
const programs = { go: hasGo ? buildGo : undefined, rust: hasCargo ? buildRust : undefined };

export const kinds = ['constant', 'bare', 'full', 'jose', 'express'] as const;

type Options = {
  readonly connections: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  /** Responses of each server before the first measurement. Default: `WARM_ANSWERS`. */
  readonly warmAnswers?: number;
  readonly only?: readonly string[] | undefined;
};

/**
 * V8 compiles code after it has run a number of times, not after some time, so the warm-up counts requests. After this
 * many, a token of the full server takes 1.12 times its final CPU time, which it reaches before `ALL_COMPILED`.
 */
const WARM_ANSWERS = 20_000;
export const ALL_COMPILED = 50_000;

/** Runs a load for a number of responses; gives up on an overloaded machine. */
export async function warmUp(server: ServerProcess, answers = WARM_ANSWERS): Promise<void> {
  const mostTimes = (answers / WARM_ANSWERS) * 6;
  for (let answered = 0, times = 0; answered < answers && times < mostTimes; times++)
    answered += (await runLoad({ ...PAGE, url: server.url, connections: 64, seconds: 0.5 })).answered;
}

/** One load, and the CPU time it cost the server per response. */
export async function measureOnce(server: ServerProcess, load: Omit<Parameters<typeof runLoad>[0], 'url'>) {
  const before = await server.used();
  const loaded = await runLoad({ ...load, url: server.url });
  const after = await server.used();
  return {
    ...loaded,
    microseconds: (after.cpuMicroseconds - before.cpuMicroseconds) / loaded.answered,
    perSecond: loaded.answered / loaded.seconds,
    refusals: Object.values(loaded.refused).reduce((sum, count) => sum + count, 0),
  };
}

export async function benchServers({ connections, rounds, seconds, warmAnswers, only }: Options): Promise<ServerRow[]> {
  const servers = new Map<string, ServerProcess>();
  for (const kind of kinds)
    if (!only || kind === 'constant' || only.includes(kind)) servers.set(kind, await startServer(kind));
  for (const [name, program] of Object.entries(programs))
    if (!program) console.log(`Skipped: ${name}, whose compiler is not installed.`);
    else if (!only || only.includes(name)) servers.set(name, await startServer({ program: program() }));
  try {
    for (const server of servers.values()) await warmUp(server, warmAnswers);
    const rows: ServerRow[] = [];
    for (const count of connections) rows.push(...(await rowsAt(servers, count, rounds, seconds)));
    return rows;
  } finally {
    for (const server of servers.values()) await server.stop();
  }
}

async function rowsAt(
  servers: ReadonlyMap<string, ServerProcess>,
  connections: number,
  rounds: number,
  seconds: number,
): Promise<ServerRow[]> {
  type Round = Awaited<ReturnType<typeof measureOnce>> & { ofLimit: number };
  const measured = new Map<string, Round[]>([...servers.keys()].map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    let limit = 0;
    for (const [name, server] of servers) {
      const once = await measureOnce(server, { ...PAGE, connections, seconds });
      if (name === 'constant') limit = once.microseconds + ((await server.used('sign')).signMicroseconds ?? 0);
      measured.get(name)?.push({ ...once, ofLimit: once.microseconds / limit });
      if (name === 'constant')
        measured.set('limit', [...(measured.get('limit') ?? []), { ...once, microseconds: limit, ofLimit: 1 }]);
    }
  }
  return [...measured].map(([name, all]) => {
    const figure = (of: (round: Round) => number) => figureOf(all.map(of));
    return {
      name,
      connections,
      microseconds: figure((one) => one.microseconds),
      ofLimit: figure((one) => one.ofLimit),
      perSecond: figure((one) => one.perSecond),
      p50: figure((one) => one.p50),
      p99: figure((one) => one.p99),
      p999: figure((one) => one.p999),
      refused: all.reduce((sum, one) => sum + one.refusals, 0),
    };
  });
}
