/** The messages for webdist's own files and folders: each code of the file system and of SQLite has a sentence. */

import { statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openFileSink } from '../src/audit/file.ts';
import type { Plan } from '../src/cli/init/plan.ts';
import { writeFiles } from '../src/cli/init/write.ts';
import { openLockIn } from '../src/file-lock.ts';
import { fileProblem, makeFolder } from '../src/file-problem.ts';
import { openSqliteFile } from '../src/ledger/sqlite-file.ts';
import { pullPackage } from '../src/packages/pull.ts';
import { replaceFile } from '../src/replace-file.ts';
import { ensureDistributionKey } from '../src/sandbox/account.ts';
import { ledgerSecret } from '../src/service/secret.ts';
import { temporaryFolder } from './harness/folder.ts';
import { noSmallDisk, openSmallDisk } from './harness/small-disk.ts';

const folder = temporaryFolder(t);
const file = join(folder, 'a-file');
writeFileSync(file, '');
symlinkSync(join(folder, 'circle'), join(folder, 'circle'));

t.test('one sentence, with the path, the setting and the user', async (t) => {
  const uid = process.getuid?.();
  for (const [cause, why] of [
    [{ code: 'EACCES' }, 'cannot be written'],
    [{ code: 'EPERM' }, 'cannot be written'],
    [{ code: 'EROFS' }, 'cannot be written: its file system is read-only'],
    [{ code: 'ENOSPC' }, 'cannot be written: the disk is full'],
    [{ code: 'EDQUOT' }, 'cannot be written: the disk is full'],
    [{ code: 'EMFILE' }, 'cannot be opened: this process has no file descriptors left'],
    [{ code: 'ENFILE' }, 'cannot be opened: this machine has no file descriptors left'],
    [{ code: 'ENAMETOOLONG' }, 'cannot be used: the path, or a name in it, is too long'],
    [{ code: 'ELOOP' }, 'cannot be used: its symbolic links lead in a circle'],
    [{ code: 'EIO' }, 'cannot be read or written: its disk or network file system fails'],
    [{ code: 'ESTALE' }, 'cannot be read or written: its disk or network file system fails'],
    [{ code: 'EBUSY' }, 'cannot be replaced: it is in use, or a mount of its own'],
    [{ code: 'EFBIG' }, 'cannot grow: it has the largest size that this process may write'],
    [{ code: 'ENOENT' }, 'does not exist, or cannot be created'],
    [{ code: 'ENOTDIR' }, 'cannot be used: a part of the path is not a folder'],
  ] as const) {
    const problem = fileProblem(cause, '/data/file', 'WEBDIST_DATA_DIR');
    t.match(problem, { code: 'state_invalid' });
    t.equal(problem?.detail, `/data/file ${why} (WEBDIST_DATA_DIR, uid ${uid}, ${cause.code}).`);
    t.match(problem?.hint, /^[A-Z].*\.$/, cause.code);
  }
  for (const [errcode, why] of [
    [8, /cannot be written/],
    [10 | (3 << 8), /disk or network file system fails/],
    [11, /is damaged/],
    [13, /the disk is full/],
    [14, /cannot be opened/],
    [14 | (2 << 8), /cannot be opened/],
    [26, /is damaged/],
  ] as const)
    t.match(fileProblem({ errcode }, '/data/ledger.sqlite', 'WEBDIST_LEDGER')?.detail, why, `SQLite ${errcode}`);
  // SQLite's code does not say why, so the operating system is asked: about the file, or about its folder if it is missing.
  for (const errcode of [8, 14, 14 | (2 << 8)])
    for (const [path, why] of [
      [join(file, 'ledger.sqlite'), /a part of the path is not a folder/],
      [join(folder, 'x'.repeat(300), 'ledger.sqlite'), /a name in it, is too long/],
      [join(folder, 'circle', 'ledger.sqlite'), /symbolic links lead in a circle/],
    ] as const)
      t.match(fileProblem({ errcode }, path, 'WEBDIST_LEDGER')?.detail, why, `SQLite ${errcode} for ${path}`);
  for (const other of [new Error('no code'), { code: 'ECONNREFUSED' }, { errcode: 1 }, undefined, null, 'text'])
    t.equal(fileProblem(other, '/data/file', 'WEBDIST_DATA_DIR'), undefined);
});

const app = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
const source = { archive: async () => t.fail('nothing is downloaded'), asset: async () => t.fail('nothing') } as never;

/** Everything that creates a folder that a setting or an option names. */
const writers: Readonly<Record<string, (dir: string) => unknown>> = {
  WEBDIST_LEDGER: (dir) => openSqliteFile(`sqlite://${dir}/ledger.sqlite`),
  WEBDIST_AUDIT: (dir) => openFileSink(join(dir, 'audit.log'), 0),
  WEBDIST_PACKAGES_DIR: (dir) => pullPackage({ dir, app, source, keep: 1 }),
  'WEBDIST_DATA_DIR, ledger secret': ledgerSecret,
  'WEBDIST_DATA_DIR, locks': (dir) => openLockIn(dir, 'a.lock'),
  'WEBDIST_DATA_DIR, small files': (dir) => replaceFile(join(dir, 'orders.json'), ''),
  'WEBDIST_DATA_DIR, sandbox': (dir) => ensureDistributionKey(dir),
  '--out': (dir) => writeFiles({ folder: dir } as Plan, []),
};
const unusable: Readonly<Record<string, string>> = {
  'in /proc, where nothing can be created': '/proc/nope',
  'below that': '/proc/nope/a/b',
  'in /sys, where this user may not write': '/sys/nope',
  'of a name that is too long': join(folder, 'x'.repeat(300)),
  'behind links that lead in a circle': join(folder, 'circle'),
  'a file': file,
  'below a file': join(file, 'below'),
};
for (const [writer, create] of Object.entries(writers))
  for (const [where, path] of Object.entries(unusable))
    t.test(`${writer}: a folder that is ${where}`, async (t) => {
      const error = await t.rejects(async () => create(path), { code: 'state_invalid', hint: /\w/ });
      const [setting = ''] = writer.split(',');
      t.match(`${(error as unknown as Error)?.message}`, new RegExp(`^${path}[^\n]* \\(${setting}`));
    });

t.test('a folder whose parents do not exist is created with them', async (t) => {
  makeFolder(join(folder, 'a', 'b', 'c'), 0o700);
  makeFolder(join(folder, 'a', 'b', 'c'), 0o700);
  t.equal(statSync(join(folder, 'a')).mode & 0o777, 0o700);
});

t.test('a ledger on a file system that became read-only', { skip: noSmallDisk }, async (t) => {
  const { folder, run } = await openSmallDisk(t, '2m');
  const script = `
    import { openSqliteFile } from '${join(import.meta.dirname, '../src/ledger/sqlite-file.ts')}';
    await openSqliteFile('sqlite://${folder}/ledger.sqlite').catch(({ message }) => console.log(message));`;
  const open = () => run(process.execPath, '--input-type=module', '-e', script);
  t.equal(open(), '');
  run('mount', '-o', 'remount,ro', folder);
  t.match(open(), /its file system is read-only \(WEBDIST_LEDGER/);
});
