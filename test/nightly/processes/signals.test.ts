/** The signals of `webdist serve`, sent to real processes as supervisors, shells and npm send them. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { runWebdist, startProcess } from '../../harness/process.ts';
import { requestsSeen, startSandbox } from '../../harness/sandbox.ts';
import { isReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const generous = { WEBDIST_RATE_LIMIT: '1000000', WEBDIST_RATE_LIMIT_ADDRESS: '1000000' };

/** `npm start` as the leader of a process group of its own. */
async function startUnderNpm(t: Test, env: Environment) {
  const child = spawn('npm', ['start', '--silent'], {
    detached: true,
    env: { PATH: process.env['PATH'], HOME: temporaryFolder(t), PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const group = -(child.pid ?? Number.NaN);
  const exited = once(child, 'close').then(([code]) => code as number | null);
  t.teardown(async () => {
    if (child.exitCode === null) process.kill(group, 'SIGKILL');
    await exited;
  });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  const url = await until(
    () => /"event":"listening","address":"([^"]+)"/.exec(output)?.[1],
    () => `npm to start the service: ${output}`,
  );
  return { child, group, url, exited };
}

/** Visitors who each keep one connection and always have a request in progress, until nothing listens any more. */
function visit(url: string, connections: number) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  const outcomes: (number | string)[] = [];
  const ask = () =>
    new Promise<number | string>((resolve) => {
      request(`${url}/install-token?app=6500000001`, { agent, headers: { origin: 'https://example.com' } })
        .on('response', (response) => {
          response.resume().on('end', () => resolve(response.statusCode ?? 0));
          response.on('error', (error) => resolve(error.message));
        })
        .on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        .end();
    });
  const served = new Set<number>();
  const visitor = async (_: unknown, index: number) => {
    for (;;) {
      const outcome = await ask();
      if (outcome === 'ECONNREFUSED') return;
      outcomes.push(outcome);
      served.add(index);
    }
  };
  const over = Promise.all(Array.from({ length: connections }, visitor)).finally(() => agent.destroy());
  return { outcomes, over, isBusy: () => served.size === connections && outcomes.length > 100 };
}

const send = (child: ChildProcess, ...signals: NodeJS.Signals[]) => {
  for (const signal of signals) child.kill(signal);
};

t.test(
  'a stop that arrives several times within a second is one stop: 24 connections, none is cut, exit 0',
  async (t) => {
    const sandbox = await startSandbox(t);
    const settings = () => ({
      ...sandbox.settings,
      ...generous,
      WEBDIST_DRAIN_SECONDS: '1',
      WEBDIST_DATA_DIR: temporaryFolder(t),
    });
    const alone = () => startProcess(t, settings());
    const cases = {
      'SIGTERM to the process group of npm': async () => {
        const { group, ...service } = await startUnderNpm(t, settings());
        return { ...service, stop: () => process.kill(group, 'SIGTERM') };
      },
      'SIGTERM, from npm and from a supervisor half a second apart': async () => {
        const service = await alone();
        return {
          ...service,
          stop: async () => {
            send(service.child, 'SIGTERM');
            await delay(500);
            send(service.child, 'SIGTERM', 'SIGTERM');
          },
        };
      },
      'SIGTERM and SIGINT at once': async () => {
        const service = await alone();
        return { ...service, stop: () => send(service.child, 'SIGTERM', 'SIGINT', 'SIGTERM') };
      },
      'SIGINT to the process group of npm, as Ctrl-C sends it': async () => {
        const { group, ...service } = await startUnderNpm(t, settings());
        return { ...service, stop: () => process.kill(group, 'SIGINT') };
      },
      'SIGTERM, with SIGHUPs while it stops': async () => {
        const service = await alone();
        return {
          ...service,
          stop: async () => {
            send(service.child, 'SIGTERM');
            for (let index = 0; index < 20; index += 1) {
              await delay(50);
              send(service.child, 'SIGHUP');
            }
          },
        };
      },
    };
    for (const [name, start] of Object.entries(cases)) {
      const { url, exited, stop } = await start();
      await isReady(url);
      const { outcomes, over, isBusy } = visit(url, 24);
      // A connection that was not accepted before the end would be cut.
      await until(isBusy, 'load on every connection');
      await stop();
      t.equal(await exited, 0, `${name}: exit code`);
      await over;
      const failed = outcomes.filter((outcome) => outcome !== 200);
      t.strictSame(failed, [], `${name}: none of ${outcomes.length} requests failed`);
    }
  },
);

t.test('a second stop after more than a second ends the process at once', async (t) => {
  const stopTwice = async ([first, second]: readonly [NodeJS.Signals, NodeJS.Signals]) => {
    const service = await startProcess(t, {
      WEBDIST_MODE: 'sandbox',
      WEBDIST_DRAIN_SECONDS: '600',
      WEBDIST_DATA_DIR: temporaryFolder(t),
    });
    send(service.child, first);
    await until(() => service.output().includes('"event":"shutting_down"'), 'the shutdown');
    await delay(1100);
    send(service.child, second);
    t.equal(await service.exited, 1, `${first}, ${second}`);
  };
  await Promise.all([stopTwice(['SIGTERM', 'SIGTERM']), stopTwice(['SIGTERM', 'SIGINT'])]);
});

t.test('WEBDIST_DRAIN_SECONDS is how long it answers after SIGTERM; SIGINT does not wait', async (t) => {
  const cases = [
    { seconds: '0', signal: 'SIGTERM', least: 0 },
    { seconds: '2', signal: 'SIGTERM', least: 2000 },
    { seconds: undefined, signal: 'SIGTERM', least: 3000 },
    { seconds: '600', signal: 'SIGINT', least: 0 },
  ] as const;
  const check = async ({ seconds, signal, least }: (typeof cases)[number]) => {
    const { child, output, exited } = await startProcess(t, {
      WEBDIST_MODE: 'sandbox',
      WEBDIST_DATA_DIR: temporaryFolder(t),
      ...(seconds && { WEBDIST_DRAIN_SECONDS: seconds }),
    });
    send(child, signal);
    t.equal(await exited, 0, `${signal}: exit code`);
    const at = (event: string) =>
      Date.parse(new RegExp(`"time":"([^"]+)","event":"${event}"`).exec(output())?.[1] ?? '');
    const tookMs = at('shut_down') - at('shutting_down');
    t.ok(tookMs >= least - 5 && tookMs < least + 2500, `${signal}, ${seconds ?? 'default'} s: took ${tookMs} ms`);
  };
  await Promise.all(cases.map(check));
});

/** Whether a process handles SIGHUP, which is signal 1 (proc(5), SigCgt). */
const handlesHangup = (pid: number) =>
  (BigInt(`0x${/^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]}`) & 1n) === 1n;

t.test('signals while it starts', { skip: process.platform !== 'linux' && 'needs /proc' }, async (t) => {
  const sandbox = await startSandbox(t);
  const start = async () => {
    const command = runWebdist(t, ['serve'], {
      ...sandbox.settings,
      PORT: '0',
      WEBDIST_DATA_DIR: temporaryFolder(t),
    });
    await until(() => handlesHangup(command.child.pid ?? 0), 'signals to be handled');
    t.notMatch(command.output(), 'listening', 'it has only begun to start');
    return command;
  };
  await t.test('SIGHUPs do not end it, and cause one check once it is up', async (t) => {
    const { child, output } = await start();
    await until(() => {
      send(child, 'SIGHUP');
      return output().includes('"event":"listening"');
    }, 'it to listen');
    t.equal(child.exitCode, null);
    const url = /"address":"([^"]+)"/.exec(output())?.[1] ?? '';
    await isReady(url);
    t.ok(
      await until(
        async () => (await requestsSeen(sandbox)).filter((seen) => /^GET .*Domains/.test(seen)).length >= 2,
        'the check that was requested',
      ),
    );
  });
  await t.test(
    'WEBDIST_START_JITTER_SECONDS: it waits before it opens anything, and a signal ends the wait',
    async (t) => {
      const dataDir = join(temporaryFolder(t), 'data');
      const { child, exited, output } = runWebdist(t, ['serve'], {
        ...sandbox.settings,
        WEBDIST_DATA_DIR: dataDir,
        WEBDIST_START_JITTER_SECONDS: '600',
      });
      await until(() => output().includes('"event":"start_delayed"'), 'the wait');
      send(child, 'SIGTERM');
      t.equal(await exited, 143);
      t.notOk(existsSync(dataDir), 'nothing was opened');
    },
  );
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)
    await t.test(`${signal} ends it at once`, async (t) => {
      const { child, exited, output } = await start();
      send(child, signal, signal);
      t.equal(await exited, code);
      t.notMatch(output(), /listening|at .*\.ts/);
    });
});
