/** A Redis whose connection fails twice: its certificate is refused, and what follows is no TLS. The process goes on. */

import { connect, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { openRedisConnection } from '../../src/redis/connection.ts';
import { makeCertificate, noOpenssl } from '../harness/certificates.ts';
import { listen } from '../harness/port.ts';
import { until } from '../harness/until.ts';

/** Records that follow the server's handshake: an alert without encryption, one that is cut off, and no record at all. */
const follows: Readonly<Record<string, Buffer>> = {
  'an alert': Buffer.from('15030300020232', 'hex'),
  'half an alert': Buffer.from('1503030002', 'hex'),
  'an empty record': Buffer.from('1703030000', 'hex'),
  'plain text': Buffer.from('-ERR unknown command\r\n'),
};

/** A server with a certificate that no one knows, and a proxy before it that adds bytes to everything that it sends. */
async function startBroken(t: Test, added: Buffer): Promise<{ port: number; connections: () => number }> {
  const server = createTlsServer(makeCertificate('localhost', 1), (socket) => socket.on('error', () => undefined));
  const port = await listen(server);
  t.teardown(() => server.close());
  let connections = 0;
  const proxy = createServer((client) => {
    connections += 1;
    const upstream = connect(port, '127.0.0.1');
    for (const socket of [client, upstream]) socket.on('error', () => undefined);
    client.pipe(upstream);
    upstream.on('data', (data: Buffer) => client.write(Buffer.concat([data, added])));
    upstream.on('close', () => client.destroy());
  });
  t.teardown(() => proxy.close());
  return { port: await listen(proxy), connections: () => connections };
}

for (const [what, added] of Object.entries(follows))
  t.test(what, { skip: noOpenssl }, async (t) => {
    const { port, connections } = await startBroken(t, added);
    const redis = await openRedisConnection(`rediss://localhost:${port}`, { answerMs: 1000 });
    t.teardown(() => redis.close());
    await until(() => connections() > 3, 'more attempts to connect');
    await t.rejects(redis.prove(), { code: 'redis_unavailable', detail: /certificate/ });
  });
