/**
 * A real Vault or OpenBao: the program `vault` or `bao` of PATH in development mode, or else the server that
 * VAULT_TEST_ADDR names, with VAULT_TEST_TOKEN, which must be allowed to mount engines and create tokens.
 */

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from '../folder.ts';
import { freePort, untilListening } from '../port.ts';
import { until } from '../until.ts';

const { PATH = '', VAULT_TEST_ADDR: address, VAULT_TEST_TOKEN: testToken } = process.env;
const [program] = ['vault', 'bao']
  .flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)))
  .filter(existsSync);

/** Why tests are skipped; false when there is a server. */
export const withoutVault: string | false =
  (address && testToken) || program ? false : 'neither vault nor bao is installed, and VAULT_TEST_ADDR is not set';

/** Starts a server for this test alone; the server of VAULT_TEST_ADDR is shared, so a test must remove what it adds. */
export async function startRealVault(t: Test): Promise<{ url: string; rootToken: string; isShared: boolean }> {
  if (address && testToken) return { url: address.replace(/\/$/, ''), rootToken: testToken, isShared: true };
  const rootToken = randomUUID();
  const port = await freePort();
  const listen = `127.0.0.1:${port}`;
  const url = `http://${listen}`;
  const server = spawn(
    program ?? '',
    ['server', '-dev', '-dev-no-store-token', `-dev-root-token-id=${rootToken}`, `-dev-listen-address=${listen}`],
    { stdio: 'ignore', env: { PATH, HOME: temporaryFolder(t) } },
  );
  t.teardown(async () => {
    server.kill('SIGKILL');
    await once(server, 'exit');
  });
  await untilListening(port);
  await until(async () => (await fetch(`${url}/v1/sys/health`)).ok, `${program} on ${url}`);
  return { url, rootToken, isShared: false };
}
