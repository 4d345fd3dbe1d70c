/**
 * The previous version, from the history of the repository: the commit in PREVIOUS_VERSION, otherwise the last tag, otherwise
 * the commit before the last 20. Its sources run unchanged, with the packages that are installed here.
 */

import { execFileSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';

const git = (...args: string[]) =>
  execFileSync('git', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();

const attempt = (run: () => string): string | undefined => {
  try {
    return run();
  } catch {
    return undefined;
  }
};

/** The commit; undefined without a history. */
export const previousCommit: string | undefined = attempt(() =>
  git(
    'rev-parse',
    process.env['PREVIOUS_VERSION'] ?? attempt(() => git('describe', '--tags', '--abbrev=0', 'HEAD^')) ?? 'HEAD~20',
  ),
);

export const noPrevious: string | false =
  previousCommit === undefined && 'the history of the repository is not here (set PREVIOUS_VERSION to a commit)';

/** Unpacks the previous version into a folder; returns the path of its program. */
export function unpackPrevious(folder: string): string {
  const tarball = join(folder, 'previous.tar');
  git('archive', '--output', tarball, previousCommit ?? '', 'src', 'package.json');
  execFileSync('tar', ['-xf', tarball, '-C', folder]);
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  return join(folder, 'src/main.ts');
}
