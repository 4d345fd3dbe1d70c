/**
 * Each kind of audit sink gets every line in its own form, even after an outage; and what the service and commands
 * record.
 */

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { openAudit } from '../../src/audit/audit.ts';
import { openSink, sinkUrl } from '../../src/audit/sinks.ts';
import { openVerification, parseLine } from '../../src/audit/verify.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { listen } from '../harness/port.ts';
import { webdist } from '../harness/process.ts';
import { settingsIn, startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';
import { tokenEntry } from './entry.ts';

/** Receives messages; `stop` closes the receiver and its connections, `start` opens it at the same address. */
type Receiver = { url: string; messages: string[]; stop(): Promise<void>; start(): Promise<void> };

function streamReceiver(t: Test, listenOn: () => string | number, urlOf: (address: AddressInfo) => string): Receiver {
  const messages: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      // RFC 6587 §3.4.1: the length in bytes, a space, the message.
      for (;;) {
        const space = rest.indexOf(' ');
        const end = space + 1 + Number(rest.subarray(0, Math.max(0, space)));
        if (space < 0 || rest.length < end) return;
        messages.push(rest.toString('utf8', space + 1, end));
        rest = rest.subarray(end);
      }
    });
  });
  const receiver: Receiver = {
    url: '',
    messages,
    async start() {
      server.listen(listenOn());
      await once(server, 'listening');
      receiver.url = urlOf(server.address() as AddressInfo);
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  t.teardown(() => receiver.stop().catch(() => undefined));
  return receiver;
}

function tcpReceiver(t: Test): Receiver {
  let port = 0;
  return streamReceiver(
    t,
    () => port,
    (address) => {
      port = address.port;
      return `syslog+tcp://127.0.0.1:${port}`;
    },
  );
}

function unixReceiver(t: Test): Receiver {
  const path = join(temporaryFolder(t), 'log.sock');
  return streamReceiver(
    t,
    () => {
      rmSync(path, { force: true });
      return path;
    },
    () => `syslog+unix://${path}`,
  );
}

function udpReceiver(t: Test): Receiver {
  const messages: string[] = [];
  const socket = createSocket('udp4').on('message', (message) => messages.push(String(message)));
  t.teardown(() => socket.close());
  return {
    url: '',
    messages,
    async start() {
      socket.bind(0, '127.0.0.1');
      await once(socket, 'listening');
      this.url = `syslog+udp://127.0.0.1:${socket.address().port}`;
    },
    // Nothing is acknowledged, so nothing can be repeated.
    async stop() {
      await new Promise((done) => setTimeout(done, 0));
    },
  };
}

type Exported = { resourceLogs: { scopeLogs: { logRecords: { body: { stringValue: string } }[] }[] }[] };

function collectorReceiver(t: Test): Receiver {
  const messages: string[] = [];
  let isAway = false;
  const server = createHttpServer(async (request, response) => {
    const { resourceLogs } = (await json(request)) as Exported;
    if (isAway || request.headers['x-key'] !== 'secret=1') return response.writeHead(503).end();
    for (const { scopeLogs } of resourceLogs)
      for (const { logRecords } of scopeLogs) messages.push(...logRecords.map(({ body }) => body.stringValue));
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
  });
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  return {
    url: '',
    messages,
    async start() {
      if (!server.listening) this.url = `otlp+http://127.0.0.1:${await listen(server)}/v1/logs`;
      isAway = false;
    },
    async stop() {
      isAway = true;
    },
  };
}

const receivers = { tcp: tcpReceiver, unix: unixReceiver, udp: udpReceiver, otlp: collectorReceiver };
for (const [name, open] of Object.entries(receivers))
  t.test(`${name}: every line arrives, also after the receiver was away`, async (t) => {
    const receiver = open(t);
    await receiver.start();
    const sink = await openSink(receiver.url, { maxFileBytes: 0, otlpHeaders: { 'x-key': 'secret=1' } });
    const failures: unknown[] = [];
    const failed = (error: unknown) => void failures.push(error);
    const audit = openAudit([sink], () => ({ written: () => undefined, failed, lost: () => t.fail('lost') }));
    const record = (count: number) => {
      for (let n = 0; n < count; n++)
        audit.record({ ...tokenEntry('Ä'), at: new Date(1_800_000_000_000 + n).toISOString() });
    };
    const arrived = (count: number) => until(() => receiver.messages.length >= count, `${count} lines`);
    record(100);
    await arrived(100);
    if (name !== 'udp') {
      await receiver.stop();
      record(50);
      await until(() => failures.length > 0, 'a failure');
      await receiver.start();
    } else record(50);
    await arrived(150);
    await audit.close();
    const verification = openVerification();
    for (const message of receiver.messages) {
      const line = parseLine(message);
      t.ok(line, message);
      if (line) verification.add(line);
    }
    t.match(verification.reports(), [{ lines: 150, first: 1, problems: [] }]);
    if (name !== 'otlp')
      t.match(
        receiver.messages[0],
        /^<110>1 2027-01-15T08:00:00\.000Z \S+ webdist \d+ install_token_issued - \{"chain":"/,
        'RFC 5424',
      );
  });

t.test('the forms of sinks', async (t) => {
  const path = pathToFileURL(join(process.cwd(), 'a b.jsonl')).href;
  for (const [text, url] of [
    ['a b.jsonl', path],
    ['/var/log/audit.jsonl', 'file:///var/log/audit.jsonl'],
    ['file:///var/log/audit.jsonl', 'file:///var/log/audit.jsonl'],
    ['stdout:', 'stdout:'],
    ['syslog+unix:///run/log.sock', 'syslog+unix:///run/log.sock'],
    ['syslog+tcp://[::1]:601', 'syslog+tcp://[::1]:601'],
    ['syslog+udp://logs.example.com', 'syslog+udp://logs.example.com'],
    ['otlp+https://otel.example.com/v1/logs', 'otlp+https://otel.example.com/v1/logs'],
    ['syslog://host', undefined],
    ['syslog+tcp:///path', undefined],
    ['syslog+tcp://user:password@host', undefined],
    ['syslog+unix:', undefined],
    ['stdout:///x', undefined],
    ['file://host/path', undefined],
    ['otlp+http:///v1/logs', undefined],
    ['https://otel.example.com', undefined],
    ['stdout', undefined],
    ['syslog', undefined],
    ['off', undefined],
  ] as const)
    t.equal(sinkUrl(text), url, text);
});

t.test('refused credentials, orders and commands are recorded', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'audit.jsonl');
  const env = settingsIn(folder, { WEBDIST_AUDIT: path });
  const { url } = await startReady(t, undefined, env);
  const events = () =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { event: string; chain: string });
  const named = (event: string) => events().filter((one) => one.event === event);
  for (let n = 0; n < 30; n++)
    await post(`${url}/install-token`, {}, { authorization: 'Bearer a-wrong-key-0123456789' });
  await until(() => named('credential_refused').length >= 10, 'the refusals');
  t.match(named('credential_refused'), [{ address: '127.0.0.1', route: '/install-token' }]);
  t.equal(named('credential_refused').length, 10, 'a limit for each address');
  t.notMatch(readFileSync(path, 'utf8'), /a-wrong-key/);

  t.match(await webdist(['keys', 'stop', '--yes', '--wait'], env), { code: 0, stderr: '' });
  t.match(named('command'), [{ action: 'stop signing for com.example.trailmap', user: /./, host: /./ }]);
  await until(() => named('orders_followed').length === 1, 'the order in the log of the service');
  t.match(named('orders_followed'), [{ revision: 1, apps: { 6500000001: { isStopped: true } } }]);
  t.match(await webdist(['keys', 'resume', '--dry-run'], env), { code: 0 });
  t.equal(named('command').length, 1, 'a dry run is not recorded');
  t.match(await webdist(['audit', 'verify'], env), { code: 0, stderr: '' }, 'two chains in one file');

  const away = { ...env, WEBDIST_AUDIT: 'syslog+tcp://127.0.0.1:9' };
  t.match(
    await webdist(['keys', 'resume', '--wait'], away),
    { code: 0, stderr: /WARNING: this command is not in the audit log: .+ 1 line is missing/ },
    'a sink that is away does not keep an operator from acting',
  );
});
