/** Why a file of webdist's own cannot be used: each code of the file system and of SQLite has a sentence. */

import t from 'tap';
import { fileProblem } from '../src/file-problem.ts';

t.test('one sentence, with the path, the setting and the user', async (t) => {
  const uid = process.getuid?.();
  for (const [cause, why] of [
    [{ code: 'EACCES' }, 'cannot be written'],
    [{ code: 'EPERM' }, 'cannot be written'],
    [{ code: 'EROFS' }, 'cannot be written: its file system is read-only'],
    [{ code: 'ENOSPC' }, 'cannot be written: the disk is full'],
    [{ code: 'EDQUOT' }, 'cannot be written: the disk is full'],
    [{ code: 'EMFILE' }, 'cannot be opened: this process has no file descriptors left'],
    [{ code: 'ENFILE' }, 'cannot be opened: this process has no file descriptors left'],
    [{ code: 'ENOTDIR' }, 'cannot be used: a part of the path is not a folder'],
  ] as const) {
    const problem = fileProblem(cause, '/data/file', 'WEBDIST_DATA_DIR');
    t.match(problem, { code: 'state_invalid' });
    t.equal(problem?.detail, `/data/file ${why} (WEBDIST_DATA_DIR, uid ${uid}, ${cause.code}).`);
    t.match(problem?.hint, /^[A-Z].*\.$/, cause.code);
  }
  for (const [errcode, why] of [
    [8, /cannot be written/],
    [11, /is damaged/],
    [13, /the disk is full/],
    [14, /cannot be opened/],
    [14 | (2 << 8), /cannot be opened/],
    [26, /is damaged/],
  ] as const)
    t.match(fileProblem({ errcode }, '/data/ledger.sqlite', 'WEBDIST_LEDGER')?.detail, why, `SQLite ${errcode}`);
  for (const other of [new Error('no code'), { code: 'ECONNREFUSED' }, { errcode: 1 }, undefined, null, 'text'])
    t.equal(fileProblem(other, '/data/file', 'WEBDIST_DATA_DIR'), undefined);
});
