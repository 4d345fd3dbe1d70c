/**
 * A TPM 2.0 in software (swtpm) with its resource manager (tpm2-abrmd, which needs a D-Bus) and PKCS#11 on top (tpm2-pkcs11):
 * the Debian packages swtpm, tpm2-tools, tpm2-abrmd, libtss2-tcti-tabrmd0, libtpm2-pkcs11-1, libtpm2-pkcs11-tools, dbus.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { freePort, isFree, untilListening } from '../port.ts';
import { until } from '../until.ts';
import { setVariables } from './variables.ts';

const [library] = globSync('/usr/lib/*/pkcs11/libtpm2_pkcs11.so');
const missing = ['swtpm', 'tpm2_flushcontext', 'tpm2_ptool', 'dbus-daemon', 'tpm2-abrmd'].find(
  (name) => !['/usr/bin', '/usr/sbin'].some((folder) => existsSync(join(folder, name))),
);

/** Why tests are skipped; false when everything is installed. */
export const withoutTpm: string | false =
  missing || !library
    ? `${missing ?? 'libtpm2_pkcs11.so'} is not installed (Debian: see test/harness/stand-ins/tpm.ts)`
    : false;

const PIN = '62840517';

/** A TPM for this test alone, with a token `shop`; its processes end with the test. */
export async function setUpTpm(t: Test) {
  const folder = t.testdir({ state: {}, store: {} });
  const start = (program: string, ...args: string[]) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    });
    return child;
  };
  // Clients find its control port beside the other.
  let port = await freePort();
  while (!(await isFree(port + 1))) port = await freePort();
  const tcp = (number: number) => `type=tcp,port=${number},bindaddr=127.0.0.1`;
  const servers = ['--server', tcp(port), '--ctrl', tcp(port + 1), '--flags', 'not-need-init,startup-clear'];
  start('swtpm', 'socket', '--tpm2', '--tpmstate', `dir=${join(folder, 'state')}`, ...servers);
  await untilListening(port + 1);

  const bus = start('dbus-daemon', '--session', '--nofork', '--print-address=1');
  const [address] = (await once(bus.stdout, 'data')) as [Buffer];
  setVariables(t, {
    DBUS_SESSION_BUS_ADDRESS: address.toString().trim(),
    TPM2TOOLS_TCTI: 'tabrmd:bus_type=session',
    TPM2_PKCS11_TCTI: 'tabrmd:bus_type=session',
    TPM2_PKCS11_STORE: join(folder, 'store'),
    TSS2_LOG: 'all+NONE',
  });
  start('tpm2-abrmd', '--session', '--allow-root', `--tcti=swtpm:host=127.0.0.1,port=${port}`);
  const run = (...[program = '', ...args]: string[]) => void execFileSync(program, args, { stdio: 'pipe' });
  await until(() => {
    try {
      run('tpm2_flushcontext', '--transient-object');
      return true;
    } catch {
      return false;
    }
  }, 'the resource manager of the TPM');
  run('tpm2_ptool', 'init');
  run('tpm2_ptool', 'addtoken', '--pid=1', '--label=shop', `--userpin=${PIN}`, '--sopin=5678901');
  return {
    library: library ?? '',
    pin: PIN,
    /** Creates a key pair on the token; `algorithm` is in the form of tpm2_ptool, `ecc256`. */
    addKey: (algorithm: string, label: string) =>
      run(
        'tpm2_ptool',
        'addkey',
        '--label=shop',
        `--algorithm=${algorithm}`,
        `--key-label=${label}`,
        `--userpin=${PIN}`,
      ),
  };
}
