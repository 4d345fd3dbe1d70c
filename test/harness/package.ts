/**
 * The output of `npm run build`, built once for all test files of a run, and the packages that `npm pack` makes from it.
 */

import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { sharedServer } from './shared.ts';

const root = new URL('../../', import.meta.url).pathname;

/**
 * Runs a program without what the test runner preloads into Node.js, with the Node.js of this test first in PATH, and
 * returns its stdout.
 */
export const runProgram = (command: string, args: readonly string[], cwd = root): string =>
  execFileSync('/usr/bin/env', ['-u', 'NODE_OPTIONS', command, ...args], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env['PATH']}` },
  });

/** The folder of the built package, to be read only; `dist/main.js` runs in it. */
export const builtPackage = (): Promise<string> => sharedServer('package');

/** Builds a copy of the repository. */
export async function openPackage() {
  const folder = mkdtempSync(join(tmpdir(), 'webdist-build-'));
  const sources = ['src', 'tsconfig.json', 'tsconfig.build.json', 'tsconfig.browser.json'];
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', ...sources])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  runProgram('npm', ['run', '--silent', 'build'], folder);
  // npm does this to the files in `bin`.
  chmodSync(join(folder, 'dist/main.js'), 0o755);
  return { address: folder, close: async () => rmSync(folder, { recursive: true, force: true }) };
}

type Packed = { readonly filename: string; readonly unpackedSize: number; readonly files: { readonly path: string }[] };

/** Packs the package in a folder into another. */
export function pack(packageFolder: string, into: string): Packed {
  const answer = runProgram('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', into], packageFolder);
  // npm 11 returns a list, later versions may return an object by name.
  return Object.values(JSON.parse(answer))[0] as Packed;
}
