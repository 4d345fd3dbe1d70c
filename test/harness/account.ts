/** A simulated account behind a proxy, an old and a new key in files, and the settings of servers that hold both. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Test } from 'tap';
import { accountOf, openClient } from './app-store-connect.ts';
import { openDoor } from './door.ts';
import { temporaryFolder } from './folder.ts';
import { askToken } from './http.ts';
import { runWebdist } from './process.ts';
import { startSandbox } from './sandbox.ts';

export const appleItemId = '6500000001';

const newKey = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

/** Writes a new key into a folder; returns its locator. */
export function keyFile(folder: string, name: string): string {
  const path = join(folder, name);
  writeFileSync(path, newKey());
  return pathToFileURL(path).href;
}

export async function openAccount(t: Test) {
  const sandbox = await startSandbox(t);
  const door = await openDoor(t, sandbox);
  const dataDir = temporaryFolder(t);
  const to = keyFile(dataDir, 'new.pem');
  const env = {
    ...sandbox.settings,
    ASC_BASE_URL: door.url,
    WEBDIST_DATA_DIR: dataDir,
    WEBDIST_KEY: `${sandbox.settings['WEBDIST_KEY']} ${to}`,
    WEBDIST_RATE_LIMIT: '1000000',
    WEBDIST_RATE_LIMIT_ADDRESS: '1000000',
  };
  const asc = openClient(t, accountOf(sandbox));
  return {
    sandbox,
    door,
    dataDir,
    env,
    asc,
    to,
    /** Runs `webdist keys rotate …` to its end. */
    async rotate(args: readonly string[] = ['--to', to], settings: Record<string, string> = env) {
      const { exited, output } = runWebdist(t, ['keys', 'rotate', '--yes', ...args], settings);
      return { code: await exited, output: output() };
    },
  };
}

/** Requests one token; returns its key id, or the status and code of the refusal. */
export async function keyIdOf(url: string): Promise<string> {
  const answer = await askToken(url);
  const body = (await answer.json()) as { keyId?: string; code?: string };
  return body.keyId ?? `${answer.status} ${body.code}`;
}
