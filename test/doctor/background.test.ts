/** The doctor in the background: what it finds becomes a metric and a log line, without requests to Apple. */

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import pino from 'pino';
import t from 'tap';
import { backgroundChecks, startBackgroundDoctor } from '../../src/doctor/background.ts';
import { openMetrics } from '../../src/metrics.ts';
import { listen } from '../harness/port.ts';
import { requestsSeen } from '../harness/sandbox.ts';
import { until } from '../harness/until.ts';
import { startInstallation } from './installation.ts';

const MINUTE = 60_000;

/** A clock without pauses between checks. A round begins when `round` is called. */
function stepper() {
  const waits: number[] = [];
  let begin: (() => void) | undefined;
  const after = (ms: number, run: () => void) => {
    if (ms < MINUTE / 2) setImmediate(run);
    else {
      waits.push(ms);
      begin = run;
    }
    return () => {
      begin = undefined;
    };
  };
  const round = async () => {
    const count = waits.length;
    begin?.();
    await until(() => waits.length > count, 'the end of a round');
  };
  return { clock: { after, random: () => 0.5 }, waits, round };
}

t.test('findings as metrics and log lines', async (t) => {
  const { env, sandbox, folder, licence } = await startInstallation(t);
  const manifest = await (await fetch(env['WEBDIST_PACKAGE_MANIFEST'] ?? '')).text();
  const path = join(folder, 'manifest.json');
  writeFileSync(path, manifest);
  const page = { status: 200 };
  const website = createServer((_, response) => response.writeHead(page.status).end());
  const publicUrl = new URL(`http://127.0.0.1:${await listen(website)}/camping`);
  t.teardown(() => website.close());

  const written: string[] = [];
  const log = pino({}, { write: (line: string) => void written.push(line) });
  const [metrics, { clock, waits, round }] = [openMetrics(), stepper()];
  const options = { env: { ...env, WEBDIST_PACKAGE_MANIFEST: pathToFileURL(path).href }, publicUrl };
  const stop = startBackgroundDoctor(options, 15 * MINUTE, { metrics, log, clock });
  const result = async (id: string) => {
    const { values } = await metrics.doctorCheck.get();
    return values.filter(({ labels, value }) => labels.check === id && value === 1).map(({ labels }) => labels.result);
  };
  const requests = (await requestsSeen(sandbox)).length;
  t.strictSame(waits, [7.5 * MINUTE], 'the first round begins after a random part of the time');

  await round();
  for (const id of ['licence-endpoints', 'licence-certificates', 'package-manifest', 'page-reachable'])
    t.strictSame(await result(id), ['ok'], id);

  type Case = readonly [id: string, fault: () => void, expected: string, repair: () => void];
  const cases: readonly Case[] = [
    ['licence-endpoints', () => (licence.fault = 'down'), 'fail', () => (licence.fault = undefined)],
    [
      'licence-certificates',
      () => (licence.fault = 'certificates that expire soon'),
      'warn',
      () => (licence.fault = undefined),
    ],
    ['package-manifest', () => writeFileSync(path, 'garbage'), 'fail', () => writeFileSync(path, manifest)],
    ['page-reachable', () => (page.status = 404), 'fail', () => (page.status = 200)],
  ];
  for (const [id, fault, expected, repair] of cases) {
    fault();
    await round();
    await round();
    t.strictSame(await result(id), [expected], `${id} finds it`);
    repair();
    await round();
    t.strictSame(await result(id), ['ok'], `${id} finds that it is repaired`);
    const lines = written.map((line) => JSON.parse(line)).filter(({ check }) => check === id);
    t.match(
      lines,
      [
        { level: 40, result: expected, hint: String },
        { level: 30, result: 'ok' },
      ],
      'a line for each change',
    );
    t.equal(lines.length, 2);
  }
  t.equal((await requestsSeen(sandbox)).length, requests, 'no request to Apple');

  stop();
  t.ok(waits.slice(1).every((ms) => ms === 15 * MINUTE));
});

t.test('which checks', (t) => {
  const ids = backgroundChecks.map(({ id }) => id);
  for (const id of ['sign-in', 'licence-endpoints', 'kit-reachable', 'package-public', 'device-cookie', 'page-button'])
    t.ok(ids.includes(id), id);
  for (const id of ['token-valid', 'key-registered', 'api-reachable', 'key-signs']) t.notOk(ids.includes(id), id);
  t.end();
});
