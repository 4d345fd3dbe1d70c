#!/usr/bin/env -S node --
/** From the command line to one command. An error is one line on stderr and an exit code: 1 failed, 2 wrong usage. */

import { CommanderError } from 'commander';
import { buildProgram } from './cli/program.ts';
import { isWebdistError } from './errors.ts';

// Whoever reads only the head of the output has all they wanted.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
});

try {
  await buildProgram().parseAsync();
} catch (error) {
  // What was opened before the failure must not keep the process alive.
  process.exit(report(error));
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (!isWebdistError(error)) throw error;
  process.stderr.write(`webdist: ${error.message}\n`);
  return error.code === 'usage_invalid' ? 2 : 1;
}
