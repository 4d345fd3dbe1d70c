/** Checks what the machine or the container gives to the service: a lasting data folder, open files and memory. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import { type Check, type Finding, info, ok, privateCheck, warn } from './check.ts';

/** Each connection needs one, and a proxy keeps many. */
const MIN_OPEN_FILES = 1024;
/** A replica uses up to 230 MB (docs/performance.md). */
const MIN_MEMORY_MIB = 256;
const MIB = 2 ** 20;

export const resourceChecks: readonly Check[] = [
  privateCheck('data-volume', 'What the data folder keeps must outlive the container.', ({ config, options }) =>
    // Only in the image, where NODE_ENV is set: elsewhere, a folder in memory is chosen on purpose.
    config && options.env['NODE_ENV'] === 'production' ? volumeFinding(config, fromLinux('mountinfo')) : undefined,
  ),
  privateCheck('open-files', 'Without file descriptors, a service accepts no connections.', () =>
    openFilesFinding(fromLinux('limits')),
  ),
  privateCheck('memory-limit', 'A process over its memory limit is killed, with the requests in progress.', () =>
    memoryFinding(process.constrainedMemory()),
  ),
];

/** A file about this process in /proc; empty on other systems. */
function fromLinux(name: string): string {
  try {
    return readFileSync(`/proc/self/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** What the place of a mount says about its life, first match; see proc_pid_mountinfo(5). */
const passing: readonly (readonly [mount: RegExp, what: string])[] = [
  [/ - (tmpfs|ramfs) /, 'is in memory'],
  [/^\S+ \S+ \S+ \S*kubernetes\.io~empty-dir/, 'is an emptyDir, which ends with the pod'],
  [/^\S+ \S+ \S+ \S*\/volumes\/[0-9a-f]{64}\//, 'is an anonymous volume, which the next container does not get'],
  [/ - overlay /, 'is in the file system of the container, and is lost with it'],
];

type Placed = { readonly ledger: Pick<Config['ledger'], 'url' | 'secret'>; readonly dataDir: string };

/** Takes the text of /proc/self/mountinfo. Undefined if the data folder keeps nothing that must last. */
export function volumeFinding({ ledger, dataDir }: Placed, mounts: string): Finding | undefined {
  if (ledgerBackend(ledger.url).isShared && ledger.secret !== undefined) return undefined;
  const path = `${resolve(dataDir)}/`;
  const pointOf = (line: string) => `${line.split(' ')[4]}/`.replace('//', '/');
  const mount = mounts
    .split('\n')
    .filter((line) => line !== '' && path.startsWith(pointOf(line)))
    .toSorted((a, b) => pointOf(a).length - pointOf(b).length)
    .at(-1);
  const [, what] = passing.find(([form]) => form.test(mount ?? '')) ?? [];
  return what === undefined
    ? ok(dataDir)
    : warn(
        `${dataDir} ${what}`,
        `Mount a named volume at ${dataDir}, for example: docker run -v webdist-data:${dataDir} …`,
      );
}

/** Takes the text of /proc/self/limits. Node itself has already raised the soft limit to the hard one. */
export function openFilesFinding(limits: string): Finding | undefined {
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  if (soft === undefined) return undefined;
  return Number(soft) < MIN_OPEN_FILES
    ? warn(`at most ${soft}`, `Raise the limit to ${MIN_OPEN_FILES} or more (ulimit -n, LimitNOFILE, docker --ulimit).`)
    : ok(`at most ${soft}`);
}

/** Takes the limit of the control group in bytes; 0 or more than any machine has if there is none. */
export function memoryFinding(bytes: number): Finding {
  const mib = Math.round(bytes / MIB);
  if (mib === 0 || mib > 2 ** 30) return info('no limit');
  return mib < MIN_MEMORY_MIB ? warn(`${mib} MiB`, 'Raise the memory limit to 512 MiB.') : ok(`${mib} MiB`);
}
