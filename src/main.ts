#!/usr/bin/env -S node --
/**
 * Maps the command line to one command. Any error ends the process with one line on stderr and an exit code: 1 failed, 2 wrong
 * usage. The "--" above keeps Node.js from taking options of webdist, such as --env-file, as its own.
 */

import { failureOf } from './cli/failure.ts';
import { buildProgram } from './cli/program.ts';
import { writeStderr } from './cli/stderr.ts';
import { isDebugLevel } from './config/log-level.ts';

process.on('uncaughtException', end);
process.on('unhandledRejection', end);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader, such as `head`, has all that it wants.
  if (error.code === 'EPIPE') process.exit(0);
  end(error);
});
// A pipe that is closed; see also writeStderr.
process.stderr.on('error', () => undefined);

try {
  await buildProgram().parseAsync();
} catch (error) {
  end(error);
}

/** Exits at once: what was opened before the failure must not keep the process alive. */
function end(thrown: unknown): never {
  const { line, exitCode, frames } = failureOf(thrown);
  const stack = isDebugLevel() ? frames : [];
  const advice = frames.length > stack.length ? ' (LOG_LEVEL=debug prints the stack)' : '';
  if (line !== undefined) writeStderr(`webdist: ${[line + advice, ...stack].join('\n')}\n`);
  process.exit(exitCode);
}
