/**
 * Explains in one sentence why one of webdist's own files or folders cannot be used, with its path, its setting and the
 * user of the process.
 */

import { accessSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { WebdistError } from './errors.ts';

/** By the `code` of Node's errors (errno(3)), and of SQLite's (https://www.sqlite.org/rescode.html). */
const reasons: Readonly<Record<string, { readonly why: string; readonly hint: (setting: string) => string }>> = {
  unwritable: {
    why: 'cannot be written',
    hint: (setting) =>
      `Give that user permission to write there (chown, or the owner of the mount), or set ${setting} to another place.`,
  },
  readOnly: {
    why: 'cannot be written: its file system is read-only',
    hint: (setting) => `Mount it writable, or set ${setting} to another place.`,
  },
  unopenable: {
    why: 'cannot be opened',
    hint: (setting) =>
      `Check that ${setting} names a file, that this user can write to its folder, and that this process may open more ` +
      'files (ulimit -n, LimitNOFILE).',
  },
  full: {
    why: 'cannot be written: the disk is full',
    hint: () => 'Free some space on it, or delete files if it has no inodes left (df -i).',
  },
  files: {
    why: 'cannot be opened: this process has no file descriptors left',
    hint: () => 'Raise its limit of open files (ulimit -n, LimitNOFILE).',
  },
  allFiles: {
    why: 'cannot be opened: this machine has no file descriptors left',
    hint: () => 'Find the program that holds them (lsof), or raise fs.file-max.',
  },
  tooLong: { why: 'cannot be used: the path, or a name in it, is too long', hint: (setting) => `Shorten ${setting}.` },
  circle: { why: 'cannot be used: its symbolic links lead in a circle', hint: (setting) => `Check ${setting}.` },
  failing: {
    why: 'cannot be read or written: its disk or network file system fails',
    hint: () => 'Check the disk and the mount; the log of the kernel says more (dmesg).',
  },
  busy: {
    why: 'cannot be replaced: it is in use, or a mount of its own',
    hint: () => 'Mount the folder instead of the single file.',
  },
  largest: {
    why: 'cannot grow: it has the largest size that this process may write',
    hint: () => 'Raise the limit (ulimit -f, LimitFSIZE).',
  },
  folder: { why: 'cannot be used: a part of the path is not a folder', hint: (setting) => `Check ${setting}.` },
  missing: {
    why: 'does not exist, or cannot be created',
    hint: (setting) => `Check ${setting}, and that this user can write to the folder above it.`,
  },
  damaged: {
    why: 'is damaged, or is not a file of webdist',
    hint: (setting) => `Restore it from a backup, or set ${setting} to another file.`,
  },
};

const codes: Readonly<Record<string, keyof typeof reasons>> = {
  EACCES: 'unwritable',
  EPERM: 'unwritable',
  EROFS: 'readOnly',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EMFILE: 'files',
  ENFILE: 'allFiles',
  ENAMETOOLONG: 'tooLong',
  ELOOP: 'circle',
  EIO: 'failing',
  ESTALE: 'failing',
  ENXIO: 'failing',
  ENODEV: 'failing',
  EBUSY: 'busy',
  EFBIG: 'largest',
  ENOENT: 'missing',
  ENOTDIR: 'folder',
  EEXIST: 'folder',
  EISDIR: 'folder',
  8: 'unwritable',
  10: 'failing',
  11: 'damaged',
  13: 'full',
  14: 'unopenable',
  26: 'damaged',
};

/** `state_invalid` for an error of the file system or of SQLite; undefined for any other error. */
export function fileProblem(cause: unknown, path: string, setting: string): WebdistError | undefined {
  const { code, errcode } = (cause ?? {}) as { code?: unknown; errcode?: number };
  const reason = reasons[codes[errcode === undefined ? String(code) : sqliteCode(errcode, path)] ?? ''];
  if (!reason) return undefined;
  const user = process.getuid?.();
  const details = [
    setting,
    ...(user === undefined ? [] : [`uid ${user}`]),
    ...(errcode === undefined ? [String(code)] : []),
  ];
  return new WebdistError('state_invalid', `${path} ${reason.why} (${details.join(', ')}).`, {
    hint: reason.hint(setting),
    cause,
  });
}

/** SQLite says that a file cannot be opened or written, but not why, so this asks the operating system. */
function sqliteCode(errcode: number, path: string): string | number {
  // The low byte of the extended result code is the code itself.
  const code = errcode & 0xff;
  return code === 8 || code === 14 ? (obstacle(path) ?? obstacle(dirname(path)) ?? code) : code;
}

/** The code of the error (errno(3)) that writing there would cause. Undefined if there is none, or nothing is there. */
function obstacle(path: string): string | undefined {
  try {
    accessSync(path, constants.W_OK);
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? undefined : code;
  }
}

/** Runs work on a file. Replaces its errors by those of `fileProblem`, if there is one. */
export async function withFileProblems<T>(path: string, setting: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fileProblem(error, path, setting) ?? error;
  }
}

/**
 * Creates a folder, and those above it, if they do not exist. With `recursive`, Node never returns from a folder that
 * does not exist but cannot be created either, such as one in /proc. Throws the error of the file system.
 */
export function makeFolder(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && statSync(path).isDirectory()) return;
    if (code !== 'ENOENT' || existsSync(dirname(path))) throw error;
    makeFolder(dirname(path), mode);
    makeFolder(path, mode);
  }
}
