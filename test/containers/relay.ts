/**
 * Runs inside a container: forwards TCP, and delays the responses on request. Arguments: `PORT=HOST:PORT`, each a port
 * to listen on and its target. `GET :9000/PORT/MILLISECONDS` sets the delay of responses on that port. Imports nothing
 * from webdist, because the container has only this file.
 */

import { createServer as createHttpServer } from 'node:http';
import { connect, createServer } from 'node:net';

const CONTROL_PORT = 9000;

const lateMs = new Map<string, number>();

for (const argument of process.argv.slice(2)) {
  const [port = '', host = '', target] = argument.split(/[=:]/);
  const server = createServer((from) => {
    const to = connect(Number(target), host);
    from.pipe(to);
    let dueAt = 0;
    to.on('data', (chunk) => {
      // Never before an earlier chunk, even if the delay has just become shorter.
      dueAt = Math.max(dueAt, performance.now() + (lateMs.get(port) ?? 0));
      setTimeout(() => from.write(chunk), dueAt - performance.now());
    });
    for (const [one, other] of [
      [from, to],
      [to, from],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
    }
  });
  server.listen(Number(port));
}

createHttpServer((request, response) => {
  const [, port = '', ms] = request.url?.split('/') ?? [];
  lateMs.set(port, Number(ms));
  response.end();
}).listen(CONTROL_PORT, () => process.stdout.write('relays\n'));
