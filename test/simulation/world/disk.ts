/**
 * The disks of the fleet: real files in a folder in memory, through a `node:fs/promises` whose accesses are events. They can
 * be slow, fail, or be cut off by a kill. SQLite's files are used directly, because its calls are synchronous.
 */

import fs, { type OpenMode, type PathLike } from 'node:fs';
import { machineNow, schedule, trueTime } from './scheduler.ts';

/** What is wrong with the disk of a machine. */
export type DiskFault = 'full' | 'failing' | 'slow';

const faults = new Map<string, DiskFault>();
let troubledAt = new Map<string, number>();

/** Sets what is wrong with the disks of a machine; undefined repairs them. */
export function setDiskFault(machine: string, fault: DiskFault | undefined): void {
  troubledAt.set(machine, trueTime());
  if (fault) faults.set(machine, fault);
  else faults.delete(machine);
}

export const diskFaultOf = (machine: string): DiskFault | undefined => faults.get(machine);

/** When something was last wrong with the disk of a machine. */
export const diskTroubledAt = (machine: string): number =>
  faults.has(machine) ? trueTime() : (troubledAt.get(machine) ?? 0);

/** What happens in the middle of the next write of a machine. */
const atNextWrite = new Map<string, () => void>();

/** Calls `act` in the middle of the machine's next write of a text; undefined: nothing happens then. */
export function onNextWrite(machine: string, act: (() => void) | undefined): void {
  if (act) atNextWrite.set(machine, act);
  else atNextWrite.delete(machine);
}

export function resetDisks(): void {
  faults.clear();
  atNextWrite.clear();
  troubledAt = new Map();
}

const LATENCY_MS = 1;
const SLOW_MS = 400;

/** Performs an access after the latency of the disk. `writes` can fail where reads do not; `tear` does a part of one that fails. */
function access<T>(writes: boolean, work: () => T, tear?: () => void): Promise<T> {
  const machine = machineNow();
  const fault = machine && faults.get(machine.name);
  return new Promise((resolve, reject) => {
    schedule(fault === 'slow' ? SLOW_MS : LATENCY_MS * Math.random(), () => {
      try {
        if (writes && (fault === 'full' || fault === 'failing')) tear?.();
        if (writes && fault === 'full') throw systemError('ENOSPC', 'no space left on device');
        if (fault === 'failing') throw systemError('EIO', 'i/o error');
        resolve(work());
      } catch (error) {
        reject(error);
      }
    });
  });
}

const systemError = (code: string, message: string) => Object.assign(new Error(`${code}: ${message}`), { code });

/** The functions of `node:fs/promises` that `src` uses. */
export function simulatedDisk() {
  const { mkdirSync, readFileSync, renameSync, rmSync, readdirSync, statSync, linkSync, readlinkSync } = fs;
  return {
    mkdir: (path: PathLike, options: object) => access(true, () => mkdirSync(path, options)),
    readFile: (path: PathLike, options: BufferEncoding) => access(false, () => readFileSync(path, options)),
    rename: (from: PathLike, to: PathLike) => access(true, () => renameSync(from, to)),
    rm: (path: PathLike, options: object) => access(false, () => rmSync(path, options)),
    readdir: (path: PathLike) => access(false, () => readdirSync(path)),
    stat: (path: PathLike) => access(false, () => statSync(path)),
    readlink: (path: PathLike) => access(false, () => readlinkSync(path)),
    link: (from: PathLike, to: PathLike) => access(true, () => linkSync(from, to)),
    open: (path: PathLike, flags: OpenMode, mode: number) =>
      access(flags !== 'r' && flags !== 0, () => handleOf(fs.openSync(path, flags, mode))),
  };
}

/** The methods of a `FileHandle` that `src` uses. */
function handleOf(fd: number) {
  let isOpen = true;
  const close = () => {
    if (isOpen) fs.closeSync(fd);
    isOpen = false;
  };
  // A write that fails leaves a part of the data, and so does a process that is killed while it writes.
  const machine = machineNow();
  let pending: string | undefined;
  const tear = () => {
    if (pending !== undefined && isOpen) fs.writeSync(fd, pending.slice(0, Math.floor(pending.length / 2)));
    pending = undefined;
  };
  const cutOff = () => {
    tear();
    close();
  };
  machine?.onKill.add(cutOff);
  const write = (text: string) => {
    pending = text;
    const act = machine && atNextWrite.get(machine.name);
    if (act) schedule(0, act, null);
    const work = () => {
      pending = undefined;
      fs.writeSync(fd, text);
    };
    return access(true, work, tear);
  };
  const end = () =>
    access(false, () => {
      machine?.onKill.delete(cutOff);
      close();
    });
  return {
    fd,
    writeFile: write,
    appendFile: write,
    sync: () => access(true, () => undefined),
    datasync: () => access(true, () => undefined),
    truncate: (length: number) => access(false, () => fs.ftruncateSync(fd, length)),
    stat: () => access(false, () => fs.fstatSync(fd)),
    read: (buffer: Buffer, offset: number, length: number, position: number) =>
      access(false, () => ({ buffer, bytesRead: fs.readSync(fd, buffer, offset, length, position) })),
    close: end,
    [Symbol.asyncDispose]: end,
  };
}
