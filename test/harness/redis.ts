/** A Redis of a test's own, on a free port of 127.0.0.1, keeping nothing on disk. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { freePort, untilListening } from './postgres.ts';

const PROGRAM = '/usr/bin/redis-server';

/** Why there can be no Redis here, or false. */
export const noRedis: string | false = !existsSync(PROGRAM) && 'Redis is not installed (Debian: redis-server)';

export async function openRedisServer() {
  const port = await freePort();
  const begin = async () => {
    const child = spawn(PROGRAM, ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'], {
      stdio: 'ignore',
    });
    await untilListening(port);
    return child;
  };
  let running = await begin();
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: () => running.pid ?? 0,
    async stop() {
      if (running.exitCode !== null || running.signalCode !== null) return;
      const ended = once(running, 'exit');
      running.kill('SIGKILL');
      await ended;
    },
    async start() {
      running = await begin();
    },
  };
}
