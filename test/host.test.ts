/** Hosts of this machine, in IPv4 and IPv6: in settings, in URLs, and as addresses to listen on. */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import t from 'tap';
import { readSettings } from '../src/config/read.ts';
import { isLoopback, listenError, localUrl, withoutBrackets } from '../src/host.ts';

const withoutIpv6 =
  !Object.values(networkInterfaces())
    .flat()
    .some((one) => one?.address === '::1') && 'no IPv6 here';

t.test('HOST is an address, in brackets or not, or a host name', async (t) => {
  for (const [text, value] of [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['::', '::'],
    ['[::]', '::'],
    ['[::1]', '::1'],
    ['fe80::1%eth0', 'fe80::1%eth0'],
    ['localhost', 'localhost'],
    ['webdist-1.internal', 'webdist-1.internal'],
  ] as const)
    for (const name of ['HOST', 'WEBDIST_OPERATOR_HOST'] as const) {
      const { values, problems } = readSettings({ [name]: text });
      t.strictSame([values[name], problems], [value, []], `${name}=${text}`);
    }
  for (const text of ['http://127.0.0.1', '127.0.0.1:8080', '[::1]:8080', '[::1', '*', '127.0.0', 'a b', '8080'])
    t.match(readSettings({ HOST: text }).problems, [{ variable: 'HOST', message: /expected an IP address/ }], text);
});

t.test('a server on every kind of address has a URL that reaches it', { skip: withoutIpv6 }, async (t) => {
  for (const [host, url] of [
    ['127.0.0.1', /^http:\/\/127\.0\.0\.1:\d+$/],
    ['0.0.0.0', /^http:\/\/127\.0\.0\.1:\d+$/],
    ['::1', /^http:\/\/\[::1\]:\d+$/],
    ['::', /^http:\/\/\[::1\]:\d+$/],
  ] as const) {
    const server = createServer((_, response) => response.end('here')).listen(0, host);
    t.teardown(() => server.close());
    await once(server, 'listening');
    const address = localUrl(server.address() as AddressInfo);
    t.match(address, url, host);
    t.ok(isLoopback(new URL(address).hostname), address);
    t.equal(await (await fetch(address, { headers: { connection: 'close' } })).text(), 'here', address);
    // The image's health check.
    // Docker takes an array that is not JSON for a line of a shell, which the image does not have.
    const [, command = ''] = /HEALTHCHECK[^[]*CMD (\[.*\])\n/.exec(readFileSync('Dockerfile', 'utf8')) ?? [];
    const [, , script = ''] = JSON.parse(command) as string[];
    for (const HOST of [host, `[${host}]`])
      t.ok(await healthCheck(script, { HOST, PORT: new URL(address).port }), `the health check with HOST=${HOST}`);
  }
});

/** Runs the script in a process of its own, which does not block the server. */
const healthCheck = (script: string, env: Record<string, string>) =>
  new Promise((resolve) => execFile(process.execPath, ['-e', script], { env }, (error) => resolve(error === null)));

t.test('loopback: every address of 127.0.0.0/8, and no name that only begins like it', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.8.9.10', '[::1]']) t.ok(isLoopback(host), host);
  for (const host of ['127.0.0.1.example.com', 'localhost.example.com', '[::2]', '10.0.0.1', ''])
    t.notOk(isLoopback(host), host);
  t.strictSame(['::1', '[::1]', 'localhost'].map(withoutBrackets), ['::1', '::1', 'localhost']);
});

t.test('why nothing can listen: the setting that is wrong, and what to do', async (t) => {
  const names = { host: 'HOST', port: 'PORT' };
  for (const [code, expected] of [
    [
      'EADDRINUSE',
      'PORT: cannot listen on ::1 port 80 (EADDRINUSE). Another process listens there. Choose another port.',
    ],
    [
      'EACCES',
      'PORT: cannot listen on ::1 port 80 (EACCES). This process may not use the port. Choose one from 1024 on.',
    ],
    ['EADDRNOTAVAIL', 'HOST: cannot listen on ::1 port 80 (EADDRNOTAVAIL). This machine has no such address.'],
    ['ENOTFOUND', 'HOST: cannot listen on ::1 port 80 (ENOTFOUND). This machine has no such address.'],
    ['EMFILE', 'PORT: cannot listen on ::1 port 80 (EMFILE).'],
  ] as const)
    t.match(listenError({ code }, { host: '::1', port: 80 }, names), { code: 'config_invalid', message: expected });
});
