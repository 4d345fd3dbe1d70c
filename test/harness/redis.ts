/**
 * Redis without persistence: one that the run shares, with a database for each caller, and one for a test that stops
 * it.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Redis } from 'ioredis';
import { freePort, untilListening } from './port.ts';
import { sharedServer } from './shared.ts';

/** The program itself, for a test that starts it in another mode. */
export const REDIS_SERVER = '/usr/bin/redis-server';
/** More than there are test files. */
const DATABASES = 1000;

/** Why Redis cannot run here, or false. */
export const noRedis: string | false = !existsSync(REDIS_SERVER) && 'Redis is not installed (Debian: redis-server)';

/** The URL of an empty database in the Redis of this run, for tests that leave it running. */
export async function sharedRedisUrl(): Promise<string> {
  const url = await sharedServer('redis');
  const client = new Redis(url);
  const database = await client.incr('webdist-test-databases');
  client.disconnect();
  return `${url}/${database}`;
}

/** A Redis of the caller's own on a free port, with more options for its command line. */
export async function openRedisServer(...more: readonly string[]) {
  const port = await freePort();
  // A replica writes what it gets from its primary to a file.
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', tmpdir()];
  const begin = async () => {
    const child = spawn(REDIS_SERVER, [...args, '--databases', `${DATABASES}`, ...more], { stdio: 'ignore' });
    await untilListening(port);
    return child;
  };
  let running = await begin();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
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
