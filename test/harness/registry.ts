/** The npm registry, for tests that install packages. */

import { spawnSync } from 'node:child_process';

const isReached = (...args: string[]) =>
  spawnSync('npm', [...args, '--fetch-retries=0', '--fetch-timeout=10000'], { timeout: 20_000 }).status === 0;

/** Why nothing can be installed here, or false. Not every registry answers a ping. */
export const noRegistry: string | false =
  !isReached('ping') && !isReached('view', 'vite', 'version') && 'the npm registry cannot be reached';
