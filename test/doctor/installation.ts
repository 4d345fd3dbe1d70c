/** A correct installation, for tests that break one thing of it. */

import { join } from 'node:path';
import type { Test } from 'tap';
import { runDoctor } from '../../src/doctor/doctor.ts';
import type { Environment } from '../../src/environment.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { type LicenceServer, startLicenceServer } from '../harness/licence.ts';
import { freePort } from '../harness/port.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

export type Installation = {
  readonly env: Record<string, string>;
  readonly sandbox: Sandbox;
  readonly folder: string;
  readonly licence: LicenceServer;
};

/** A correct installation: the service ran once, key and domain are registered. */
export async function startInstallation(t: Test): Promise<Installation> {
  const sandbox = await startSandbox(t);
  const folder = temporaryFolder(t);
  const dataDir = join(folder, 'data');
  const running = await startReady(t, sandbox, { WEBDIST_DATA_DIR: dataDir });
  await until(
    () => running.service.health().domain.state === 'ok' && running.log.events('domain_registered').length,
    'the domain',
  );
  await running.stop();
  const licence = await startLicenceServer(t);
  return {
    sandbox,
    folder,
    licence,
    env: { ...sandbox.settings, ...licence.settings, PORT: String(await freePort()), WEBDIST_DATA_DIR: dataDir },
  };
}

/** The warnings and failures of the private checks, as `fail key-held`. */
export async function problems(env: Environment): Promise<string[]> {
  const found = await runDoctor({ env });
  return found
    .filter(({ result }) => result === 'warn' || result === 'fail')
    .map(({ id, result }) => `${result} ${id}`);
}
