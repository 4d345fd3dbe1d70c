/**
 * A log that cannot be written costs no token: real services whose stdout is a full disk, a pipe that no one reads, a pipe
 * that was closed, a file that was rotated away. What was lost is counted exactly.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync, readSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { freePort, untilListening } from '../../harness/port.ts';
import { spawnNode } from '../../harness/process.ts';
import { settingsIn } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const API_KEY = 'key-of-the-shop';
const sha256 = createHash('sha256').update(API_KEY).digest('hex');

/** A line has about 300 bytes, and a megabyte of lines may wait, so this many are certainly too many. */
const TOO_MANY = 6000;

type Served = {
  readonly child: ChildProcess;
  /** Requests tokens, and counts them. */
  issue(tokens: number): Promise<void>;
  readonly issued: number;
  /** The metric. */
  lost(): Promise<number>;
  /** Health answers; SIGTERM leads to an orderly shutdown. */
  stop(): Promise<void>;
};

/** A service that writes its log to `stdout`, and its stderr, which must stay empty. */
async function serve(t: Test, stdout: number | 'pipe', prefix: readonly string[] = []): Promise<Served> {
  const folder = temporaryFolder(t);
  const port = await freePort();
  const env = settingsIn(folder, {
    PORT: String(port),
    WEBDIST_API_KEYS: `shop:${sha256}`,
    WEBDIST_DRAIN_SECONDS: '0',
  });
  const options = { stdio: ['ignore', stdout, 'pipe'] as const } as Parameters<typeof spawnNode>[2];
  const main = ['--disable-warning=ExperimentalWarning', '--', 'src/main.ts', 'serve'];
  const [program, ...args] = prefix;
  const child = program
    ? spawn(program, [...args, process.execPath, ...main], { ...options, env: { PATH: process.env['PATH'], ...env } })
    : spawnNode(main, env, options);
  const exited = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  await untilListening(port);
  const url = `http://127.0.0.1:${port}`;
  const ready = () => fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(5000) });
  await until(async () => (await ready()).ok, 'readiness');
  let issued = 0;
  return {
    child,
    get issued() {
      return issued;
    },
    async issue(tokens) {
      for (let done = 0; done < tokens; done += 100) {
        const requests = Array.from({ length: 100 }, (_, index) => ({
          app: '6500000001',
          subject: `visitor-${done + index}`,
        }));
        const response = await fetch(`${url}/install-tokens`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
          body: JSON.stringify({ requests }),
          signal: AbortSignal.timeout(10_000),
        });
        const granted = (await response.text()).split('"token":').length - 1;
        if (granted !== 100) throw new Error(`${response.status}: ${granted} tokens`);
        issued += granted;
      }
    },
    async lost() {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return Number(/^webdist_log_lines_lost_total (\d+)$/m.exec(metrics)?.[1]);
    },
    async stop() {
      t.equal((await ready()).status, 200, 'health answers');
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      t.equal(code, 0, 'exit code');
      t.equal(stderr, '', 'nothing on stderr');
    },
  };
}

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

const mayMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;
const skip = mayMount ? false : 'no mount namespace can be made here (unshare -rm)';

t.test('a file on a disk that becomes full, then has space again', { skip, buffered: true }, async (t) => {
  const folder = temporaryFolder(t);
  const disk = spawn('unshare', [
    '-rm',
    'sh',
    '-c',
    `mount -t tmpfs -o size=200k tmpfs ${folder} && echo mounted && exec sleep 3600`,
  ]);
  t.teardown(() => disk.kill('SIGKILL'));
  await once(disk.stdout, 'data');
  const enter = [
    'nsenter',
    '-t',
    String(disk.pid),
    '-U',
    '-m',
    '--preserve-credentials',
    `--wd=${process.cwd()}`,
    '--',
  ];
  const service = await serve(t, 'pipe', [...enter, 'sh', '-c', `exec "$0" "$@" >>${folder}/log`]);
  await service.issue(TOO_MANY);
  t.ok((await service.lost()) > 0);
  const [program = '', ...args] = enter;
  t.equal(spawnSync(program, [...args, 'mount', '-o', 'remount,size=20m', folder]).status, 0);
  await checkCounts(t, service, () =>
    String(spawnSync(program, [...args, 'cat', `${folder}/log`], { maxBuffer: 1e8 }).stdout),
  );
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
