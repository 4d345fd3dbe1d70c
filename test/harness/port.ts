/** Ports of 127.0.0.1. */

import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { until } from './until.ts';

/** Listens on a free port and returns it. */
export async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('The server has no port.');
  return address.port;
}

/** A port that is free now, for a program that cannot choose one itself. */
export async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether nothing listens on a port. */
export const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
      .once('error', () => resolve(false))
      .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });

/** Resolves once something listens on the port. */
export const untilListening = (port: number) =>
  until(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, '127.0.0.1')
          .once('connect', () => resolve(true))
          .once('error', () => resolve(false));
        socket.once('connect', () => socket.destroy());
      }),
    `a listener on port ${port}`,
  );
