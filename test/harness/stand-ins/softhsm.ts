/** SoftHSM2, a PKCS#11 token in software, with keys made by pkcs11-tool (Debian packages softhsm2 and opensc). */

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { setVariables } from './variables.ts';

const library = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
].find((path) => existsSync(path));
const has = (command: string) => spawnSync(command, ['--version']).error === undefined;

/** Why tests are skipped; false when everything is installed. */
export const withoutSoftHsm =
  library && has('softhsm2-util') && has('pkcs11-tool') ? false : 'softhsm2 or opensc (pkcs11-tool) is not installed';

export type SoftHsm = {
  readonly library: string;
  readonly pin: string;
  /** The folder of the tokens. */
  readonly folder: string;
  /** Creates a token and returns its serial number. */
  addToken(label: string): string;
  /** Creates a key pair on a token; `type` is in the form of pkcs11-tool, `EC:prime256v1`. */
  addKey(token: string, type: string, label: string, id: string): void;
  /** Runs pkcs11-tool, logged in on a token. */
  tool(token: string, ...args: string[]): Buffer;
};

/** A SoftHSM2 for this test alone, in this process and those it starts. */
export function setUpSoftHsm(t: Test): SoftHsm {
  const folder = t.testdir({ tokens: {} });
  const conf = join(folder, 'softhsm2.conf');
  writeFileSync(
    conf,
    `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  );
  setVariables(t, { SOFTHSM2_CONF: conf });
  // These digits appear nowhere else, so that a leak is noticed.
  const pin = '73914628';
  const run = (command: string, ...args: string[]) =>
    execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const tool = (token: string, ...args: string[]) =>
    run('pkcs11-tool', '--module', library ?? '', '--token-label', token, '--login', '--pin', pin, ...args);
  return {
    library: library ?? '',
    pin,
    folder,
    tool,
    addToken(label) {
      run('softhsm2-util', '--init-token', '--free', '--label', label, '--pin', pin, '--so-pin', '5678901');
      const slots = run('softhsm2-util', '--show-slots').toString();
      return /Serial number:\s+(\w+)/.exec(slots)?.[1] ?? '';
    },
    addKey: (token, type, label, id) =>
      void tool(token, '--keypairgen', '--key-type', type, '--label', label, '--id', id),
  };
}
