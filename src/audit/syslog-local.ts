/**
 * Audit lines to the Unix socket of this machine's syslog. Node.js can only connect to stream sockets. For a datagram
 * socket, such as `/dev/log`, the program `logger` of util-linux writes each batch, in the form of RFC 3164, which local
 * programs use.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import type { AuditLine } from './chain.ts';
import type { Sink } from './sink.ts';
import { openStreamSink, PRIORITY } from './syslog.ts';

/** Above the longest audit line; `logger` cuts lines at 1 KiB otherwise. */
const MAX_LINE_BYTES = 32_768;

/** `syslog+unix:///path`. If `logger` fails, the whole batch is written again, so a line can arrive twice. */
export function openLocalSink(url: URL): Sink {
  const stream = openStreamSink(url);
  return {
    ...stream,
    write: (lines) =>
      stream.write(lines).catch((error: NodeJS.ErrnoException) => {
        // The socket takes datagrams.
        if (error.code !== 'EPROTOTYPE') throw error;
        return writeWithLogger(decodeURIComponent(url.pathname), lines);
      }),
  };
}

async function writeWithLogger(path: string, lines: readonly AuditLine[]): Promise<void> {
  const own = ['--tag=webdist', `--id=${process.pid}`, '--prio-prefix', `--size=${MAX_LINE_BYTES}`];
  const logger = spawn('logger', [`--socket=${path}`, '--socket-errors=on', ...own], {
    // The environment of this process contains secrets.
    env: { PATH: '/usr/bin:/bin' },
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  const problem = text(logger.stderr);
  // The exit code reports that `logger` ended before it had read everything.
  logger.stdin.on('error', () => undefined).end(lines.map((line) => `<${PRIORITY}>${line.text}\n`).join(''));
  const [code] = await once(logger, 'close').catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code === 'ENOENT' ? 'is not installed' : 'cannot be started';
    throw new Error(`${path} takes datagrams, and the program logger (util-linux), which sends them, ${why}.`, {
      cause,
    });
  });
  if (code !== 0) throw new Error(`logger could not write to ${path}: ${(await problem).trim()}`);
}
