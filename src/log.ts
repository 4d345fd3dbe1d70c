/** The log: JSON lines by pino. Errors are written by their own serializer, which knows only members that are safe. */

import { type DestinationStream, type Logger, pino } from 'pino';
import { latest } from './latest.ts';

/**
 * Opens a log at a level; without a destination it goes to stdout, the lines of one event-loop turn in one write.
 * `more` gives what every line has beside its own.
 */
export function openLog(level: string, destination: DestinationStream = openStdout(), more?: () => object): Logger {
  const options = { level, base: {}, timestamp: () => timeMember(Date.now()), serializers: { err: describe } };
  return pino({ ...options, ...(more && { mixin: more }) }, destination);
}

/** As pino's `isoTime` writes it. */
const timeMember = latest((ms: number) => `,"time":"${new Date(ms).toISOString()}"`);

/** Whatever ends this process in order, what was logged is written before. */
function openStdout(): DestinationStream {
  const stdout = pino.destination({ dest: 1, sync: true });
  let lines = '';
  const flush = () => {
    const together = lines;
    lines = '';
    if (together) stdout.write(together);
  };
  process.once('exit', flush);
  return {
    write(line) {
      if (!lines) setImmediate(flush);
      lines += line;
    },
  };
}

/**
 * An error as it is logged: its own words and its causes'. Members that libraries hang on their errors (requests with
 * their headers, responses with their bodies) are left out, because they hold credentials.
 */
function describe(error: unknown, depth = 0): object | undefined {
  if (!(error instanceof Error)) return error === undefined ? undefined : { message: typeof error };
  const { name, message, stack, cause } = error;
  const code = (error as { code?: unknown }).code;
  return {
    type: name,
    ...(typeof code === 'string' && { code }),
    message,
    ...(depth === 0 && { stack }),
    ...(cause !== undefined && depth < 4 && { cause: describe(cause, depth + 1) }),
  };
}
