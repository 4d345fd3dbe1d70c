/** A minimal load balancer: every request goes to the next replica, read completely and without retries. */

import { once } from 'node:events';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Listens on a free port of 127.0.0.1; `urls` are the replicas'. */
export async function openRoundRobin(urls: readonly string[]) {
  let next = 0;
  const server = createServer((incoming, answer) => {
    const to = new URL(incoming.url ?? '/', urls[next++ % urls.length]);
    const outgoing = request(to, { method: incoming.method, headers: incoming.headers, agent: false }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    outgoing.on('error', () => answer.writeHead(502).end());
    incoming.pipe(outgoing);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise<void>((done) => {
        server.close(() => done());
        server.closeAllConnections();
      }),
  };
}
