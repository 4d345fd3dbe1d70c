/** A proxy in front of the sandbox that records when requests enter and leave, and at which a test can hold them up. */

import { createServer, request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Test } from 'tap';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { listen } from './port.ts';

/** Times in milliseconds since 1970; `status` is undefined until there is a response. */
export type Passed = {
  readonly method: string;
  readonly path: string;
  readonly inAt: number;
  outAt?: number;
  status?: number;
};

export interface Door {
  readonly url: string;
  readonly passed: Passed[];
  /** Called for each request before it is forwarded (`in`) and before its response is returned (`out`). */
  hook: ((at: 'in' | 'out', passed: Passed) => Promise<void> | void) | undefined;
}

export async function openDoor(t: Test, sandbox: Sandbox): Promise<Door> {
  const { port } = new URL(sandbox.baseUrl);
  const server = createServer(async (incoming, outgoing) => {
    const { method = '', url: path = '', headers } = incoming;
    const passed: Passed = { method, path: path.split('?')[0] ?? '', inAt: Date.now() };
    door.passed.push(passed);
    // The request is read completely before it is held up, so that it is forwarded even if the sender is gone by then.
    const body = await text(incoming).catch(() => '');
    await door.hook?.('in', passed);
    const forwarded = request({ host: '127.0.0.1', port, method, path, headers }, async (answer) => {
      passed.outAt = Date.now();
      passed.status = answer.statusCode ?? 0;
      await door.hook?.('out', passed);
      outgoing.writeHead(passed.status, answer.headers);
      answer.pipe(outgoing);
    });
    forwarded.on('error', () => outgoing.destroy());
    forwarded.end(body);
  });
  const door: Door = { url: `http://127.0.0.1:${await listen(server)}`, passed: [], hook: undefined };
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return door;
}
