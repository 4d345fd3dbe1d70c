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
/** The path of the program; undefined if it is not installed. */
export const [vaultProgram] = ['vault', 'bao']
  .flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)))
  .filter(existsSync);

/** Why tests are skipped; false when there is a server. */
export const withoutVault: string | false =
  (address && testToken) || vaultProgram ? false : 'neither vault nor bao is installed, and VAULT_TEST_ADDR is not set';

type Server = { readonly url: string; readonly rootToken: string; readonly isShared: boolean };

/** The server of VAULT_TEST_ADDR, which is shared, so a test must remove what it adds; or else one for this test alone. */
export const startRealVault = async (t: Test): Promise<Server> =>
  address && testToken ? { url: address.replace(/\/$/, ''), rootToken: testToken, isShared: true } : startOwnVault(t);

/** Starts a server for this test alone, in which `secret` is a KV engine. */
export async function startOwnVault(t: Test): Promise<Server> {
  const rootToken = randomUUID();
  const port = await freePort();
  const listen = `127.0.0.1:${port}`;
  const url = `http://${listen}`;
  const server = spawn(
    vaultProgram ?? '',
    ['server', '-dev', '-dev-no-store-token', `-dev-root-token-id=${rootToken}`, `-dev-listen-address=${listen}`],
    { stdio: 'ignore', env: { PATH, HOME: temporaryFolder(t) } },
  );
  t.teardown(async () => {
    server.kill('SIGKILL');
    await once(server, 'exit');
  });
  await untilListening(port);
  await until(async () => (await fetch(`${url}/v1/sys/health`)).ok, `${vaultProgram} on ${url}`);
  return { url, rootToken, isShared: false };
}
