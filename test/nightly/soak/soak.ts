/**
 * The soak: `webdist serve` at half of its capacity for a given time, with a sample every ten seconds, to see whether
 * memory, handles and event-loop lag stay flat. `node test/nightly/soak/soak.ts --minutes 60 --out artifacts/soak.json`
 * writes every sample, a verdict, and a plot beside it. Ctrl-C ends it early and keeps the results so far.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { openSandbox } from '../../../src/sandbox/sandbox.ts';
import { plot } from './plot.ts';
import { openSampler, type Sample } from './samples.ts';
import { judge, LEAST_MINUTES, table } from './verdict.ts';
import { sendVisitors, type Traffic } from './visitors.ts';

const { values: asked } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    out: { type: 'string', default: 'artifacts/soak.json' },
    /** Requests a second; without it, half of what a calibration finds. */
    rate: { type: 'string' },
  },
});
const minutes = Number(asked.minutes);
if (!(minutes > 0)) throw new Error('--minutes: expected a number above 0');

const CONNECTIONS = 64;
/**
 * The number of visitors that the rate limits count at the same time; until they hold that many, memory grows as
 * expected.
 */
const VISITORS = 200_000;
/** A short soak samples more often, to get enough samples. */
const everyMs = Math.min(10_000, (minutes * 60_000) / 12);
const warmUpSeconds = Math.min(10, minutes * 10);
const calibrationSeconds = Math.min(30, minutes * 10);

const stopped = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopped.abort());

const folder = mkdtempSync(join(tmpdir(), 'webdist-soak-'));
const sandbox = await openSandbox({ dataDir: join(folder, 'sandbox') });
const ledger = join(folder, 'ledger.sqlite');
const audit = join(folder, 'audit.jsonl');
const log = join(folder, 'service.log');
let service: ChildProcess | undefined;
let isKept = false;
try {
  service = startService();
  const url = await listening(service);
  if (minutes >= LEAST_MINUTES) await meetVisitors(url);
  const traffic = await rateFor(url);
  console.log(
    `${asked.minutes} min at ${traffic.perSecond} requests a second (capacity ${traffic.capacity ?? 'not measured'})`,
  );
  const sampler = openSampler({ url, ledger });
  const samples: Sample[] = [];
  const ended = new AbortController();
  const { perSecond } = traffic;
  const until = AbortSignal.any([ended.signal, stopped.signal]);
  const visitors = sendVisitors({ url, connections: CONNECTIONS, perSecond }, until);
  const endAt = performance.now() + minutes * 60_000;
  while (performance.now() < endAt && !stopped.signal.aborted) {
    await delay(everyMs, undefined, { signal: stopped.signal }).catch(() => undefined);
    samples.push(await sampler.sample(visitors.take()));
  }
  ended.abort();
  await report(traffic, samples, await visitors.done);
} catch (error) {
  // Its log has the details.
  isKept = true;
  stopped.abort();
  console.error(`The soak broke off; what the service wrote is in ${folder}.`);
  throw error;
} finally {
  if (service && service.exitCode === null && service.signalCode === null) {
    const ended = once(service, 'exit');
    service.kill('SIGTERM');
    await ended;
  }
  await sandbox.close();
  if (!isKept) rmSync(folder, { recursive: true, force: true });
}

/** All defaults, except the limits, which a single address would reach, and with the audit on. */
function startService(): ChildProcess {
  const stdout = openSync(log, 'a');
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', 'src/main.ts', 'serve'], {
    env: {
      PATH: process.env['PATH'],
      NODE_ENV: 'production',
      ...sandbox.settings,
      PORT: '0',
      WEBDIST_MODE: 'production',
      WEBDIST_DATA_DIR: join(folder, 'data'),
      WEBDIST_LEDGER: `sqlite://${ledger}`,
      WEBDIST_AUDIT: audit,
      WEBDIST_RATE_LIMIT: '1000000000',
      WEBDIST_RATE_LIMIT_ADDRESS: '1000000000',
    },
    stdio: ['ignore', stdout, 'inherit'],
    // Its own process group, so that Ctrl-C reaches only the soak, which then stops it properly.
    detached: true,
  });
  closeSync(stdout);
  return child;
}

async function listening(child: ChildProcess): Promise<string> {
  for (;;) {
    const text = readFileSync(log, 'utf8');
    const url = /"event":"listening","address":"([^"]+)"/.exec(text)?.[1];
    if (url && (await fetch(`${url}/health/ready`)).ok) return url;
    if (child.exitCode !== null) throw new Error(`The service ended with ${child.exitCode}.\n${text}`);
    await delay(50);
  }
}

async function meetVisitors(url: string): Promise<void> {
  const met = new AbortController();
  const newcomers = sendVisitors(
    { url, connections: CONNECTIONS, areNew: true },
    AbortSignal.any([met.signal, stopped.signal]),
  );
  for (let answered = 0; answered < 2 * VISITORS && !stopped.signal.aborted; answered += newcomers.take().answered)
    await delay(200);
  met.abort();
  await newcomers.done;
}

/** Half of the rate that the same traffic reaches when every connection sends the next request at once. */
async function rateFor(url: string): Promise<{ readonly perSecond: number; readonly capacity?: number }> {
  if (asked.rate) return { perSecond: Number(asked.rate) };
  const open = { url, connections: CONNECTIONS };
  const during = (seconds: number) => AbortSignal.any([stopped.signal, AbortSignal.timeout(seconds * 1000)]);
  await sendVisitors(open, during(warmUpSeconds)).done;
  const { answered } = await sendVisitors(open, during(calibrationSeconds)).done;
  const capacity = Math.round(answered / calibrationSeconds);
  return { perSecond: Math.max(1, Math.round(capacity / 2)), capacity };
}

async function report(traffic: Awaited<ReturnType<typeof rateFor>>, samples: readonly Sample[], totals: Traffic) {
  const verdict = judge(samples);
  const errorLines = await countErrorLines();
  const machine = { node: process.version, cores: availableParallelism(), cpu: cpus()[0]?.model, load: loadavg()[0] };
  const at = new Date().toISOString();
  const svg = asked.out.replace(/(\.json)?$/, '.svg');
  mkdirSync(dirname(asked.out), { recursive: true });
  const written = { at, minutes, machine, traffic, totals, errorLines, verdict, samples };
  writeFileSync(asked.out, `${JSON.stringify(written, undefined, 1)}\n`);
  writeFileSync(svg, plot(samples, `webdist soak, ${at.slice(0, 10)}, ${traffic.perSecond} requests a second`));
  console.log(table(verdict.measures));
  console.log(
    `${totals.answered} answers, ${totals.refused} refused as overloaded, ${totals.errors} errors, ` +
      `${errorLines} error lines in the log`,
  );
  console.log(`verdict: ${verdict.text}\nwritten: ${asked.out}, ${svg}`);
  if (totals.errors > 0 || errorLines > 0) process.exitCode = 1;
}

/** Early refusals are counted separately. After an hour the log is too long for one string. */
async function countErrorLines(): Promise<number> {
  let count = 0;
  for await (const line of createInterface({ input: createReadStream(log) }))
    if (/^\{"level":(50|60)/.test(line) && !line.includes('"code":"overloaded"')) count += 1;
  return count;
}
