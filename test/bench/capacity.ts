/**
 * The full server below and above its capacity: how many requests it answers, how fast, and whether it answers all of
 * them again after an overload.
 */

import { runLoad, type ServerProcess, startServer } from './processes.ts';
import { measureOnce, PAGE, warmUp } from './servers.ts';
import { type Figure, figureOf } from './statistics.ts';

export type CapacityRow = {
  readonly name: string;
  /** The offered load, as a share of the full server's capacity in the same round. */
  readonly share: number;
  /** The share of it that the load generator sent; less than 1 when the generator is at its own limit. */
  readonly sent: Figure;
  readonly perSecond: Figure;
  readonly refusedPerSecond: Figure;
  /** Responses with a token, as a share of the capacity. */
  readonly ofCapacity: Figure;
  readonly p50: Figure;
  readonly p99: Figure;
  readonly p99OfP50: Figure;
  /** The p99 of responses with a token, as a multiple of that of the full server at half of its capacity. */
  readonly p99OfHalf: Figure;
  readonly refusedP99: Figure;
};

type Options = { readonly rounds: number; readonly seconds: number };

/** More connections than a server can answer in time, so that a waiting connection delays no other request. */
const MANY_CONNECTIONS = 2000;

/** After an overload, requests refused in this time do not count. */
const RECOVERY_SECONDS = 1;

/** The constant response shows what the machine and the load generator add. */
const OFFERED = [
  { name: 'full', share: 0.5 },
  { name: 'constant', share: 0.5 },
  { name: 'full', share: 2 },
  { name: 'full, a second after', share: 0.5 },
  { name: 'full', share: 4 },
  { name: 'full, a second after', share: 0.5 },
] as const;

/** Each round measures the capacity (the best of three, with 64 connections) and then every load; latencies are in microseconds. */
export async function benchCapacity({ rounds, seconds }: Options): Promise<CapacityRow[]> {
  const [full, constant] = [await startServer('full'), await startServer('constant')];
  for (const server of [full, constant]) await warmUp(server);
  const took = OFFERED.map(() => [] as Measured[]);
  for (let round = 0; round < rounds; round++) {
    let capacity = 0;
    for (let time = 0; time < 3; time++)
      capacity = Math.max(capacity, (await measureOnce(full, { ...PAGE, connections: 64, seconds })).perSecond);
    let halfP99 = 1;
    for (const [index, { name, share }] of OFFERED.entries()) {
      const measured = await measure(name === 'constant' ? constant : full, { capacity, share, seconds });
      if (index === 0) halfP99 = measured.p99;
      took[index]?.push({ ...measured, p99OfHalf: measured.p99 / halfP99 });
    }
  }
  for (const server of [full, constant]) await server.stop();
  return took.map((all, index) => {
    const figure = (of: (one: Measured) => number) => figureOf(all.map(of));
    return {
      name: OFFERED[index]?.name ?? '',
      share: OFFERED[index]?.share ?? 0,
      sent: figure((one) => one.sent),
      perSecond: figure((one) => one.perSecond),
      refusedPerSecond: figure((one) => one.refusals / one.seconds),
      ofCapacity: figure((one) => one.ofCapacity),
      p50: figure((one) => one.p50),
      p99: figure((one) => one.p99),
      p99OfP50: figure((one) => one.p99 / one.p50),
      p99OfHalf: figure((one) => one.p99OfHalf),
      refusedP99: figure((one) => one.refusedP99),
    };
  });
}

type Offer = { readonly capacity: number; readonly share: number; readonly seconds: number };
type Measured = Awaited<ReturnType<typeof measure>> & { readonly p99OfHalf: number };

async function measure(server: ServerProcess, { capacity, share, seconds }: Offer) {
  const perSecond = Math.round(capacity * share);
  const rate = { connections: MANY_CONNECTIONS, settleSeconds: RECOVERY_SECONDS, perSecond };
  const loaded = await measureOnce(server, { ...PAGE, ...rate, seconds });
  return {
    ...loaded,
    sent: (loaded.answered + loaded.refusals) / loaded.seconds / perSecond,
    ofCapacity: loaded.perSecond / capacity,
  };
}

export type RefusalRow = { readonly name: string; readonly microseconds: Figure; readonly ofToken: Figure };

/** CPU time of one refusal, also as a share of a token's in the same round. */
export async function benchRefusals({ rounds, seconds }: Options): Promise<RefusalRow[]> {
  const [full, refusing] = [await startServer('full'), await startServer('refusing')];
  await warmUp(full);
  const took: { microseconds: number; ofToken: number }[] = [];
  for (let round = 0; round <= rounds; round++) {
    const token = await measureOnce(full, { ...PAGE, connections: 64, seconds });
    const before = await refusing.used();
    const { refused } = await runLoad({ ...PAGE, url: refusing.url, connections: 64, seconds });
    const after = await refusing.used();
    const microseconds = (after.cpuMicroseconds - before.cpuMicroseconds) / (refused[503] ?? 0);
    // The first round warms up.
    if (round > 0) took.push({ microseconds, ofToken: microseconds / token.microseconds });
  }
  for (const server of [full, refusing]) await server.stop();
  return [
    {
      name: 'a refusal',
      microseconds: figureOf(took.map((one) => one.microseconds)),
      ofToken: figureOf(took.map((one) => one.ofToken)),
    },
  ];
}
