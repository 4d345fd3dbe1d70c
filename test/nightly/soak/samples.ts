/**
 * One sample of a soak: the process as `/metrics` shows it, the ledger's files, and the visitors' traffic since the
 * sample before.
 */

import { statSync } from 'node:fs';
import type { Slice } from './visitors.ts';

/** The measures, with their names for the report. Megabytes are 2^20 bytes. */
export const measures = {
  rssMb: 'resident memory, MB',
  heapMb: 'heap in use, MB',
  externalMb: 'external memory, MB',
  handles: 'active resources',
  fds: 'open files and sockets',
  lagP50Ms: 'event-loop delay p50, ms',
  lagP99Ms: 'event-loop delay p99, ms',
  latencyP50Ms: 'latency p50, ms',
  latencyP99Ms: 'latency p99, ms',
  ledgerMb: 'ledger on disk, MB',
} as const;

export type Measure = keyof typeof measures;

export type Sample = Readonly<Record<Measure, number>> & {
  /** Since the soak began. */
  readonly seconds: number;
  /** Since the sample before. */
  readonly answered: number;
  readonly refused: number;
  readonly errors: number;
};

/** Node's histogram of event-loop delays includes its own sampling interval of 10 ms. */
const RESOLUTION_MS = 10;

const megabytes = (bytes: number) => bytes / 2 ** 20;

/** Samples a service at `url` with its SQLite ledger in a file. */
export function openSampler({ url, ledger }: { readonly url: string; readonly ledger: string }) {
  const began = performance.now();
  return {
    async sample({ answered, refused, errors, latenciesMs }: Slice): Promise<Sample> {
      const values = readMetrics(await (await fetch(`${url}/metrics`)).text());
      const value = (name: string) => values.get(`webdist_${name}`) ?? Number.NaN;
      const sorted = latenciesMs.sort((a, b) => a - b);
      const at = (share: number) => sorted[Math.floor(sorted.length * share)] ?? 0;
      const lagMs = (name: string) => Math.max(0, value(`nodejs_eventloop_lag_${name}_seconds`) * 1000 - RESOLUTION_MS);
      return rounded({
        seconds: (performance.now() - began) / 1000,
        answered,
        refused,
        errors,
        rssMb: megabytes(value('process_resident_memory_bytes')),
        heapMb: megabytes(value('nodejs_heap_size_used_bytes')),
        externalMb: megabytes(value('nodejs_external_memory_bytes')),
        handles: value('nodejs_active_resources'),
        fds: value('process_open_fds'),
        lagP50Ms: lagMs('p50'),
        lagP99Ms: lagMs('p99'),
        latencyP50Ms: at(0.5),
        latencyP99Ms: at(0.99),
        ledgerMb: megabytes(sizeOf(ledger) + sizeOf(`${ledger}-wal`)),
      });
    },
  };
}

/** Parses Prometheus text; series that differ only in labels are added up. */
function readMetrics(text: string): Map<string, number> {
  const values = new Map<string, number>();
  for (const [, name = '', value] of text.matchAll(/^(\w+)(?:\{.*\})? (\S+)$/gm))
    values.set(name, (values.get(name) ?? 0) + Number(value));
  return values;
}

const sizeOf = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0;

const rounded = (sample: Sample): Sample =>
  Object.fromEntries(Object.entries(sample).map(([name, value]) => [name, Math.round(value * 100) / 100])) as Sample;
