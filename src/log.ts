/** The log: JSON lines, with pino. Errors go through a serializer of our own, which writes only members that hold no secret. */

import { type DestinationStream, type Logger, pino } from 'pino';

/**
 * Opens a log at a level. `more` adds fields to every line. A service passes an output that never blocks it
 * (log-output.ts). The default is for commands, which log little and end soon.
 */
export function openLog(level: string, destination: DestinationStream = process.stdout, more?: () => object): Logger {
  const options = { level, base: {}, timestamp: pino.stdTimeFunctions.isoTime, serializers: { err: safeError } };
  return pino({ ...options, ...(more && { mixin: more }) }, destination);
}

/** An error can repeat all that another server sent. */
const MAX_CHARACTERS = 4000;

/**
 * The form in which an error is logged: its own message and those of its causes. Members that libraries attach to their
 * errors, such as requests with headers and responses with bodies, are omitted, because they contain credentials.
 */
function safeError(error: unknown, depth = 0): object | undefined {
  if (!(error instanceof Error)) return error === undefined ? undefined : { message: typeof error };
  const { name, message, stack, cause } = error;
  const code = (error as { code?: unknown }).code;
  return {
    type: name,
    ...(typeof code === 'string' && { code }),
    message: message.slice(0, MAX_CHARACTERS),
    ...(depth === 0 && { stack: stack?.slice(0, 2 * MAX_CHARACTERS) }),
    ...(cause !== undefined && depth < 4 && { cause: safeError(cause, depth + 1) }),
  };
}
