/**
 * Keeps one server, or the built package, for a run of the tests: `keeper.ts KIND FOLDER PID`. Opens it, writes its
 * address to the file FOLDER/KIND, and closes it when the process PID, which is that of the run, has ended.
 */

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openBrowserServer } from './chromium.ts';
import { openPackage } from './package.ts';
import { openPostgresServer } from './postgres.ts';
import { openRedisServer } from './redis.ts';
import { startedAt } from './shared.ts';

const openers: Record<string, () => Promise<{ readonly address: string; close(): Promise<void> }>> = {
  async postgres() {
    const { url, close } = await openPostgresServer();
    return { address: url, close };
  },
  async redis() {
    const { url, stop } = await openRedisServer();
    return { address: url, close: stop };
  },
  async chromium() {
    const server = await openBrowserServer();
    return { address: server.wsEndpoint(), close: () => server.close() };
  },
  package: openPackage,
};

const [, , kind = '', folder = '', pid] = process.argv;
const run = Number(pid);
const began = startedAt(run);
const server = await openers[kind]?.();
if (!server) throw new Error(`There is no server of the kind "${kind}".`);
// Written and renamed, so that no test reads an incomplete file.
writeFileSync(join(folder, `${kind}.new`), server.address);
renameSync(join(folder, `${kind}.new`), join(folder, kind));
while (isRunning(run) && startedAt(run) === began) await delay(250);
await server.close();
rmSync(folder, { recursive: true, force: true });

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
