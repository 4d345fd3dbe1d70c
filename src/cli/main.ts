/**
 * Maps the command line to one command. Any error ends the process with one line on stderr and an exit code: 1 failed,
 * 2 wrong usage.
 */

import { backendAtWork } from '../cloud/boundary.ts';
import { vendorError } from '../cloud/vendor-error.ts';
import { isDebugLevel } from '../config/log-level.ts';
import { useProxyOfEnvironment } from '../config/proxy.ts';
import { failureOf } from './failure.ts';
import { advised } from './invocation.ts';
import { buildProgram } from './program.ts';
import { writeStderr } from './stderr.ts';

process.on('uncaughtException', endUnlessInBackground);
process.on('unhandledRejection', endUnlessInBackground);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader, such as `head`, needs no more output.
  if (error.code === 'EPIPE') process.exit(0);
  end(error);
});
// The pipe is closed; see also writeStderr.
process.stderr.on('error', () => undefined);

try {
  useProxyOfEnvironment();
  const args = process.argv.slice(2);
  // Node.js does not read its own options behind a "--".
  await buildProgram().parseAsync(args[0] === '--' ? args.slice(1) : args, { from: 'user' });
} catch (error) {
  end(error);
}

/**
 * A failure in the background of a backend's SDK does not end the process: the call to that backend fails too, or
 * reaches its time limit, and other keys may still sign. Any other failure ends the process.
 */
function endUnlessInBackground(thrown: unknown): void {
  const backend = backendAtWork();
  if (backend === undefined) end(thrown);
  writeStderr(
    `webdist: the library of the backend ${backend} failed in the background: ${vendorError(thrown).message}\n`,
  );
}

/** Exits at once, because nothing that was opened before the failure may keep the process alive. */
function end(thrown: unknown): never {
  const { line, exitCode, frames } = failureOf(thrown);
  const stack = isDebugLevel() ? frames : [];
  const advice = frames.length > stack.length ? ' (LOG_LEVEL=debug prints the stack)' : '';
  if (line !== undefined) writeStderr(`webdist: ${[advised(line) + advice, ...stack].join('\n')}\n`);
  process.exit(exitCode);
}
