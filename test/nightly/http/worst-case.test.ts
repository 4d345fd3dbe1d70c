/**
 * One address does its worst within its limits, with the key in a slow Vault, while a hundred other addresses call. Each
 * kind of attack takes WORST_CASE_SECONDS (default: 15, as for the figures in docs/threat-model.md).
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, createServer, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { listen } from '../../harness/port.ts';
import { type Process, startProcess } from '../../harness/process.ts';
import { isReady, settingsIn } from '../../harness/service.ts';
import { administer, startVault } from '../../harness/stand-ins/vault.ts';

const SECONDS = Number(process.env['WORST_CASE_SECONDS'] ?? 15);
const LIMIT_A_MINUTE = 600;
const KMS_MS = 30;
const OTHERS = 100;
const PAUSE_MS = 2000;
const API_KEY = 'key-of-a-server';
/** A caller that waits for longer has failed. */
const GIVE_UP_MS = 10_000;
const MAX_RSS_MB = 400;
/** Below this, a p99 says more about this machine than about the service. */
const LEAST_P99_MS = 1000;

const APP = '6500000001';
/** All of 127.0.0.0/8 is this machine, so each caller has an address of its own. */
const ATTACKER = '127.0.0.2';

type Answer = { readonly status: number; readonly body: string };
type Post = { readonly type?: string; readonly body?: string; readonly headers?: Record<string, string> };

/** Sends a request from an address; status 0 if the connection fails. */
function send(
  url: string,
  localAddress: string,
  { type = 'application/json', body: text, headers }: Post,
  agent?: Agent,
) {
  const options: RequestOptions = {
    method: text === undefined ? 'GET' : 'POST',
    localAddress,
    ...(agent && { agent }),
    headers: { ...(text !== undefined && { 'content-type': type, 'content-length': text.length }), ...headers },
  };
  return new Promise<Answer>((resolve) => {
    const failed = () => resolve({ status: 0, body: '' });
    const outgoing = request(url, options, (incoming: IncomingMessage) => {
      let body = '';
      incoming
        .on('data', (chunk) => (body += chunk))
        .on('end', () => resolve({ status: incoming.statusCode ?? 0, body }))
        .on('close', failed);
    });
    outgoing.setTimeout(GIVE_UP_MS, () => outgoing.destroy());
    outgoing.on('error', failed).end(text);
  });
}

const origin = { origin: 'https://shop.example.com' };

/** A hundred visitors, each with an address and a connection, until `signal`. */
async function visit(url: string, headers: Record<string, string>, signal: AbortSignal) {
  const outcomes: { readonly ms: number; readonly isFailure: boolean }[] = [];
  const visitor = async (index: number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await delay((index / OTHERS) * PAUSE_MS);
    while (!signal.aborted) {
      const startMs = performance.now();
      const { status } = await send(`${url}/install-token`, `127.0.1.${index + 1}`, { body: '{}', headers }, agent);
      outcomes.push({ ms: performance.now() - startMs, isFailure: status !== 200 });
      await delay(PAUSE_MS);
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: OTHERS }, (_, index) => visitor(index)));
  const times = outcomes.map(({ ms }) => ms).toSorted((a, b) => a - b);
  const failures = outcomes.filter(({ isFailure }) => isFailure).length;
  return { calls: times.length, failures, p99Ms: times[Math.floor(times.length * 0.99)] ?? 0 };
}

type Attack = (url: string, signal: AbortSignal) => Promise<void>;

/** Sends what `next` returns from many connections, each waiting for its answer, until `signal`. */
async function repeat(signal: AbortSignal, connections: number, next: () => Promise<Answer>) {
  const one = async () => {
    while (!signal.aborted) if ((await next()).status !== 200) await delay(10);
  };
  await Promise.all(Array.from({ length: connections }, one));
}

const sameApp = JSON.stringify({
  platform: 'iOS',
  apps: Array.from({ length: 200 }, () => ({ appleItemId: APP, appleVersionId: '1' })),
});

const attacks: Readonly<Record<string, Attack>> = {
  async 'slow bodies'(url, signal) {
    const { port } = new URL(url);
    const slow = async () => {
      while (!signal.aborted) {
        const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: ATTACKER });
        socket.on('error', () => undefined);
        socket.write(
          'POST /marketplace-kit/restore HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n',
        );
        while (!signal.aborted && !socket.destroyed && socket.writable) {
          socket.write(' ');
          await delay(2000);
        }
        socket.destroy();
        await delay(100);
      }
    };
    await Promise.all(Array.from({ length: 590 }, slow));
  },
  async 'requests whose answers are not read'(url, signal) {
    const { port } = new URL(url);
    const pipeline = async () => {
      while (!signal.aborted) {
        const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: ATTACKER });
        socket.on('error', () => undefined).pause();
        for (const path of ['/docs/static/swagger-ui-bundle.js', '/openapi.json', '/metrics'])
          socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(300));
        await delay(1000);
        socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: 20 }, pipeline));
  },
  'one app, two hundred times in a restore': (url, signal) =>
    repeat(signal, 20, () => send(`${url}/marketplace-kit/restore`, ATTACKER, { body: sameApp })),
  async 'subjects that it makes itself'(url, signal) {
    const accessTokens: string[] = [];
    for (let n = 0; n < 8; n++) {
      const { installUrl } = JSON.parse(
        (await send(`${url}/install-token`, ATTACKER, { body: '{}', headers: origin })).body,
      );
      const token = new URLSearchParams(String(installUrl).split('?')[1]).get('token') ?? '';
      const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
      const body = new URLSearchParams({ grant_type: grant, subject_token: token }).toString();
      const type = 'application/x-www-form-urlencoded';
      accessTokens.push(JSON.parse((await send(`${url}/oauth/token`, ATTACKER, { type, body })).body).access_token);
    }
    let next = 0;
    await repeat(signal, 20, () =>
      send(`${url}/marketplace-kit/restore`, ATTACKER, {
        body: sameApp,
        headers: { authorization: `Bearer ${accessTokens[next++ % accessTokens.length]}` },
      }),
    );
  },
};

const rssMb = ({ child }: Process) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;

async function issuedBy(url: string): Promise<number> {
  const { body } = await send(`${url}/metrics`, '127.0.0.1', {});
  const counts = [...body.matchAll(/^webdist_install_tokens_total\{.*result="issued".*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** A service whose key is in a Vault that takes 30 ms, with the default limits. */
async function open(t: Test, more: Environment = {}): Promise<Process> {
  const vault = await startVault();
  t.teardown(() => vault[Symbol.asyncDispose]());
  await administer(vault.url, vault.rootToken, 'POST', 'sys/mounts/transit', { type: 'transit' });
  await administer(vault.url, vault.rootToken, 'POST', 'transit/keys/shop', { type: 'ecdsa-p256' });
  vault.latencyMs = KMS_MS;
  const service = await startProcess(t, {
    ...settingsIn(temporaryFolder(t)),
    VAULT_ADDR: vault.url,
    VAULT_TOKEN: vault.rootToken,
    WEBDIST_KEY: 'hashivault://shop',
    WEBDIST_PACKAGE_URL: 'https://shop.example.com/adp',
    WEBDIST_OAUTH: 'own',
    WEBDIST_RATE_LIMIT: '60',
    WEBDIST_RATE_LIMIT_ADDRESS: String(LIMIT_A_MINUTE),
    ...more,
  });
  await isReady(service.url);
  // Reads and compresses it, once for each process.
  await send(`${service.url}/docs/static/swagger-ui-bundle.js`, '127.0.0.1', {});
  return service;
}

/** Compares the time of an attack with a quiet one before it. */
async function compare(t: Test, service: Process, attack: Attack, headers: Record<string, string>): Promise<void> {
  const measure = async (disturb?: Attack) => {
    const stop = AbortSignal.timeout(SECONDS * 1000);
    const before = await issuedBy(service.url);
    let mostMb = 0;
    const sampling = setInterval(() => (mostMb = Math.max(mostMb, rssMb(service))), 200);
    const [visits] = await Promise.all([visit(service.url, headers, stop), disturb?.(service.url, stop)]);
    clearInterval(sampling);
    const issued = (await issuedBy(service.url)) - before;
    return { ...visits, mostMb: Math.round(mostMb), attackerTokens: issued - (visits.calls - visits.failures) };
  };
  const quiet = await measure();
  const result = await measure(attack);
  t.comment(JSON.stringify({ quietP99Ms: quiet.p99Ms, ...result }));
  t.equal(quiet.failures, 0, 'no call fails while it is quiet');
  t.ok(result.failures <= result.calls / 100, `${result.failures} of ${result.calls} calls fail`);
  t.ok(result.p99Ms <= Math.max(5 * quiet.p99Ms, LEAST_P99_MS), `p99 ${result.p99Ms} ms, quiet ${quiet.p99Ms} ms`);
  t.ok(result.mostMb <= MAX_RSS_MB, `${result.mostMb} MB`);
  const minutes = Math.ceil(SECONDS / 60) + 1;
  t.ok(result.attackerTokens <= LIMIT_A_MINUTE * minutes, `${result.attackerTokens} tokens`);
}

const timeout = (SECONDS * 2 + 120) * 1000;
for (const [name, attack] of Object.entries(attacks))
  t.test(name, { timeout }, async (t) => compare(t, await open(t), attack, origin));

t.test('credentials that cannot be verified, because the keys cannot be fetched', { timeout }, async (t) => {
  let fetches = 0;
  const website = createServer((_request, response) => {
    fetches += 1;
    response.writeHead(500).end();
  });
  t.teardown(() => website.close());
  const service = await open(t, {
    WEBDIST_AUTH_JWKS_URL: `http://127.0.0.1:${await listen(website)}/jwks`,
    WEBDIST_AUTH_ISSUER: 'https://shop.example.com',
    WEBDIST_AUTH_AUDIENCE: 'webdist',
    WEBDIST_API_KEYS: `server:${createHash('sha256').update(API_KEY).digest('hex')}`,
  });
  const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: 'x' })).toString('base64url');
  const forged = { authorization: `Bearer ${header}.e30.${'A'.repeat(86)}` };
  const attack: Attack = (url, signal) =>
    repeat(signal, 20, () => send(`${url}/marketplace-kit/restore`, ATTACKER, { body: sameApp, headers: forged }));
  await compare(t, service, attack, { authorization: `Bearer ${API_KEY}` });
  t.comment(`${fetches} fetches`);
  t.ok(fetches <= SECONDS + 2, `${fetches} fetches of the keys`);
});
