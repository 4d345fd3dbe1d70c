/** A real disk of a few bytes, in a mount namespace of its own. Where this is not possible, tests skip by name. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { Test } from 'tap';
import { temporaryFolder } from './folder.ts';

const mayMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;

/** Why no disk can be made here, or false. */
export const noSmallDisk: string | false = !mayMount && 'no mount namespace can be made here (unshare -rm)';

export type SmallDisk = {
  /** Where the disk is mounted, for programs that are started with `inside`. */
  readonly folder: string;
  /** A command line, as it runs where the disk is mounted. */
  inside(...command: string[]): [program: string, ...args: string[]];
  /** Runs a command there to its end; throws if it fails. Returns its stdout. */
  run(...command: string[]): string;
  /** Makes the disk larger or smaller, such as `20m`. */
  resize(size: string): void;
};

/** A disk of this size, such as `200k`, until the test ends. */
export async function openSmallDisk(t: Test, size: string): Promise<SmallDisk> {
  const folder = temporaryFolder(t);
  const mount = `mount -t tmpfs -o size=${size} tmpfs ${folder} && echo mounted && exec sleep 3600`;
  const holder = spawn('unshare', ['-rm', 'sh', '-c', mount]);
  t.teardown(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  const enter = ['-t', String(holder.pid), '-U', '-m', '--preserve-credentials', `--wd=${process.cwd()}`, '--'];
  const inside: SmallDisk['inside'] = (...command) => ['nsenter', ...enter, ...command];
  const run = (...command: string[]) => {
    const [program, ...args] = inside(...command);
    const { status, stdout, stderr } = spawnSync(program, args, { maxBuffer: 1e8, encoding: 'utf8' });
    if (status !== 0) throw new Error(`${command.join(' ')}: ${stderr}`);
    return stdout;
  };
  return { folder, inside, run, resize: (size) => void run('mount', '-o', `remount,size=${size}`, folder) };
}
