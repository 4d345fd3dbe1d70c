/**
 * A log that cannot be written costs no token: real services whose stdout is a full disk, a pipe that no one reads, a pipe
 * that was closed, a file that was rotated away. What was lost is counted exactly.
 */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, readSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { noSmallDisk, openSmallDisk } from '../../harness/small-disk.ts';
import { until } from '../../harness/until.ts';
import { type Served, serve } from './served.ts';

/** A line has about 300 bytes, and a megabyte of lines may wait, so this many are certainly too many. */
const TOO_MANY = 6000;

const tokenLines = (log: string) => log.split('"event":"install_token_issued"').length - 1;

/** Besides lines of tokens, a few others can be lost: on a busy machine, those of overload. */
const checkLost = (t: Test, lost: number, tokensLost: number) =>
  t.ok(lost >= tokensLost && lost < tokensLost + 100, `${lost} lines lost, ${tokensLost} of them of tokens`);

/** Every line is complete; written token lines plus lost lines equal the issued tokens; the loss was reported once. */
async function checkCounts(t: Test, service: Served, log: () => string) {
  const reports = await until(
    () => log().match(/.*"event":"log_lines_lost".*\n/g) ?? undefined,
    'the report of the loss',
  );
  t.equal(reports.length, 1, 'reported once');
  const lost = await service.lost();
  t.equal(JSON.parse(reports[0] ?? '').lines, lost, 'the report has the number of the metric');
  t.ok(lost > 0, `${lost} lines lost`);
  checkLost(t, lost, service.issued - tokenLines(log()));
  t.doesNotThrow(
    () =>
      log()
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
    'every line is whole',
  );
}

// They have nothing in common.
t.jobs = 3;

t.test('a device that is always full', { buffered: true }, async (t) => {
  const full = openSync('/dev/full', 'w');
  const service = await serve(t, full);
  closeSync(full);
  await service.issue(TOO_MANY);
  t.ok((await service.lost()) > 0);
  await service.stop();
});

t.test('a pipe whose reader stalls, then reads on', { buffered: true }, async (t) => {
  const service = await serve(t, 'pipe');
  let log = '';
  const stdout = service.child.stdout?.on('data', (chunk) => (log += chunk));
  await service.issue(100);
  stdout?.pause();
  await service.issue(TOO_MANY);
  stdout?.resume();
  await checkCounts(t, service, () => log);
  await service.issue(100);
  await until(() => tokenLines(log.slice(log.indexOf('log_lines_lost'))) === 100, 'the lines after the loss');
  await service.stop();
  t.match(log, '"event":"shut_down"');
});

t.test('a pipe whose reader stalls for good', { buffered: true }, async (t) => {
  const service = await serve(t, 'pipe');
  await service.issue(TOO_MANY);
  t.ok((await service.lost()) > 0);
  await service.stop();
});

t.test('a pipe that is closed', { buffered: true }, async (t) => {
  const service = await serve(t, 'pipe');
  const { stdout } = service.child;
  if (stdout) await once(stdout.destroy(), 'close');
  await service.issue(TOO_MANY);
  await until(async () => (await service.lost()) >= service.issued, 'every line to be counted as lost');
  checkLost(t, await service.lost(), service.issued);
  await service.stop();
});

t.test('a named pipe whose reader goes away, and another comes', { buffered: true }, async (t) => {
  const path = join(temporaryFolder(t), 'log');
  spawnSync('mkfifo', [path]);
  const openReader = () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  let reader = openReader();
  const writer = openSync(path, 'w');
  const service = await serve(t, writer);
  closeSync(writer);
  let log = '';
  const read = () => {
    const buffer = Buffer.alloc(1_000_000);
    try {
      log += buffer.toString('utf8', 0, readSync(reader, buffer));
    } catch (error) {
      // Empty.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    return log;
  };
  await service.issue(100);
  await until(() => tokenLines(read()) === 100, 'the first lines');
  closeSync(reader);
  await service.issue(500);
  await until(async () => (await service.lost()) >= 500, 'the lines without a reader to be counted');
  reader = openReader();
  await service.issue(100);
  await checkCounts(t, service, read);
  await service.stop();
  closeSync(reader);
});

t.test('a file on a disk that becomes full, then has space again', { skip: noSmallDisk, buffered: true }, async (t) => {
  const disk = await openSmallDisk(t, '200k');
  const service = await serve(t, 'pipe', disk.inside('sh', '-c', `exec "$0" "$@" >>${disk.folder}/log`));
  await service.issue(TOO_MANY);
  t.ok((await service.lost()) > 0);
  disk.resize('20m');
  await checkCounts(t, service, () => disk.run('cat', `${disk.folder}/log`));
  await service.stop();
});

t.test('a file that is rotated away loses nothing', { buffered: true }, async (t) => {
  const path = join(temporaryFolder(t), 'log');
  const file = openSync(path, 'a');
  const service = await serve(t, file);
  closeSync(file);
  await service.issue(100);
  renameSync(path, `${path}.1`);
  await service.issue(TOO_MANY);
  t.equal(await service.lost(), 0);
  await service.stop();
  t.equal(tokenLines(readFileSync(`${path}.1`, 'utf8')), service.issued);
  t.match(readFileSync(`${path}.1`, 'utf8'), /"event":"shut_down".*\n$/, 'the last line is written before it ends');
});
