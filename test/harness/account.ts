/** A simulated account with a door before it, an old and a new key in files, and the settings of servers that hold both. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Test } from 'tap';
import { type AppStoreConnect, openAppStoreConnect } from '../../src/app-store-connect/client.ts';
import { openLog } from '../../src/log.ts';
import { openLocalSigner } from '../../src/signer/local.ts';
import { openDoor } from './door.ts';
import { temporaryFolder } from './folder.ts';
import { askToken } from './http.ts';
import { runWebdist } from './process.ts';
import { startSandbox } from './sandbox.ts';

export const appleItemId = '6500000001';

const newKey = () =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

/** Writes a new key into a folder; gives its locator. */
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
  const { ASC_PRIVATE_KEY_B64 = '', ASC_KEY_ID = '', ASC_ISSUER_ID } = sandbox.settings;
  const asc: AppStoreConnect = openAppStoreConnect({
    baseUrl: sandbox.baseUrl,
    keyId: ASC_KEY_ID,
    issuerId: ASC_ISSUER_ID,
    signer: openLocalSigner(ASC_PRIVATE_KEY_B64, 'test').signer,
    log: openLog('silent'),
  });
  t.teardown(() => asc.close());
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

/** Asks for one token: its key id, or the status and code of the refusal. */
export async function keyIdOf(url: string): Promise<string> {
  const answer = await askToken(url);
  const body = (await answer.json()) as { keyId?: string; code?: string };
  return body.keyId ?? `${answer.status} ${body.code}`;
}
