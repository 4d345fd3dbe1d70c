/** An address that a test can move from one server to another, as DNS or a load balancer does in a failover. */

import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';
import { listen } from './port.ts';

/** Connects to `port`, until `moveTo` names another port. Existing connections stay with their server, as with DNS. */
export async function openMovingAddress(t: Test, port: number) {
  let target = port;
  const sockets = new Set<Socket>();
  const server = createServer((incoming) => {
    const outgoing = connect(target, '127.0.0.1');
    for (const [socket, other] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  const own = await listen(server);
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    port: own,
    moveTo(next: number) {
      target = next;
    },
  };
}
