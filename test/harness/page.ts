/** Runs the commands of a page of the documentation, as its reader does: in bash, one after the other. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Environment } from '../../src/environment.ts';

/** The blocks of shell of a page, or of the section with this heading. */
export function shellBlocksOf(page: string, heading?: string): readonly string[] {
  const whole = readFileSync(page, 'utf8');
  const section = heading === undefined ? whole : whole.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0];
  if (section === undefined) throw new Error(`${page} has no section ${heading}`);
  return [...section.matchAll(/^```sh\n([\s\S]*?)\n```$/gm)].map(([, block = '']) => block);
}

/** A bash in `cwd` with these variables, in which `webdist` is the command line of this checkout. */
export function openShell(cwd: string, env: Environment) {
  const bin = join(cwd, '.bin');
  mkdirSync(bin, { recursive: true });
  const program = join(bin, 'webdist');
  const node = `exec ${process.execPath} --disable-warning=ExperimentalWarning -- ${resolve('src/main.ts')} "$@"`;
  writeFileSync(program, `#!/bin/sh\n${node}\n`);
  chmodSync(program, 0o755);
  const own = { ...env, PATH: `${bin}${delimiter}${process.env['PATH']}` };
  return async (command: string) => {
    const child = spawn('bash', ['--norc', '-o', 'pipefail', '-c', command], {
      cwd,
      env: own,
      // With a socket as stdin, bash would read the user's start-up files.
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
    return { code: child.exitCode, stdout, stderr };
  };
}
