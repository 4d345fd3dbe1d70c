/** What an operator runs after the start of a service that `webdist init` prepared. */

import { join } from 'node:path';
import { invocation } from '../invocation.ts';
import type { FormatName } from './format-names.ts';

/** The program in the image, which has no shell. */
const IN_IMAGE = 'node /app/dist/main.js';

/** How a command of webdist runs with the settings in a folder, by format; undefined if that takes more than a line. */
const prefixes: Readonly<Record<FormatName, (folder: string) => string | undefined>> = {
  env: () => invocation,
  compose: (folder) => `docker compose -f ${join(folder, 'compose.yaml')} exec webdist ${IN_IMAGE}`,
  kubernetes: () => `kubectl -n webdist exec deployment/webdist -- ${IN_IMAGE}`,
  systemd: () => undefined,
};

/** The commands that fetch the package and check everything. */
export function nextCommands(format: FormatName, folder: string): readonly string[] {
  const webdist = prefixes[format](folder);
  return webdist === undefined ? [] : [`${webdist} packages pull`, `${webdist} doctor`];
}
