/** Registries, for tests that install packages. */

import { execFile, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';

const isReached = (...args: string[]) =>
  spawnSync('npm', [...args, '--fetch-retries=0', '--fetch-timeout=10000'], { timeout: 20_000 }).status === 0;

/** Why nothing can be installed here, or false. Not every registry answers a ping. */
export const noRegistry: string | false =
  !isReached('ping') && !isReached('view', 'vite', 'version') && 'the npm registry cannot be reached';

export const run = promisify(execFile);

/** The commands that install packages in the folder that they run in. */
export const npmInstall = (...requirements: string[]) => ['npm', 'install', '--no-audit', '--no-fund', ...requirements];
/** In a virtual environment: programs are then in `v/bin`. */
export const pipInstall = (requirement: string) => [
  'sh',
  '-c',
  `python3 -m venv v && v/bin/pip install --quiet --disable-pip-version-check ${requirement}`,
];

/** Whether a tool could be installed in a folder. If not, a skipped test says why. */
export async function isInstalled(t: Test, name: string, [command = '', ...args]: readonly string[], folder: string) {
  writeFileSync(join(folder, 'package.json'), '{"private":true}');
  try {
    await run(command, args, { cwd: folder, timeout: 300_000 });
    return true;
  } catch (error) {
    t.test(name, { skip: `cannot be installed: ${String(error).trim().split('\n').at(-1)}` }, async () => undefined);
    return false;
  }
}
