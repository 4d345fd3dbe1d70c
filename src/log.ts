/** The log: JSON lines, with pino. Errors go through a serializer of our own, which writes only members that hold no secret. */

import { type DestinationStream, type Logger, pino } from 'pino';

/**
 * Opens a log at a level, to stdout unless a destination is given. `more` adds fields to every line.
 *
 * Each line is written at once, so none is lost when the process ends, however it ends. Writing the lines of one event-loop
 * turn together, or in the thread pool (`sync: false`), was not faster (docs/performance.md).
 */
export function openLog(
  level: string,
  destination: DestinationStream = pino.destination({ dest: 1, sync: true }),
  more?: () => object,
): Logger {
  const options = { level, base: {}, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: safeError } };
  return pino({ ...options, ...(more && { mixin: more }) }, destination);
}

/**
 * An error as it is logged: its own message and those of its causes. Members that libraries attach to their errors, such as
 * requests with their headers and responses with their bodies, are omitted, because they hold credentials.
 */
function safeError(error: unknown, depth = 0): object | undefined {
  if (!(error instanceof Error)) return error === undefined ? undefined : { message: typeof error };
  const { name, message, stack, cause } = error;
  const code = (error as { code?: unknown }).code;
  return {
    type: name,
    ...(typeof code === 'string' && { code }),
    message,
    ...(depth === 0 && { stack }),
    ...(cause !== undefined && depth < 4 && { cause: safeError(cause, depth + 1) }),
  };
}
