/**
 * One address attacks as hard as its limits allow, with the key in a slow Vault or a slow KMS that counts its signatures,
 * while a hundred other addresses request tokens. Each kind of attack takes WORST_CASE_SECONDS (default: 15).
 */

import { createHash, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import type { Environment } from '../../../src/environment.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { listen } from '../../harness/port.ts';
import { type Process, startProcess } from '../../harness/process.ts';
import { isReady, settingsIn } from '../../harness/service.ts';
import { startGoogle } from '../../harness/stand-ins/google.ts';
import { administer, startVault } from '../../harness/stand-ins/vault.ts';
import { ATTACKER, type Attack, attacks, origin, repeat, sameApp, send } from './attacks.ts';

const SECONDS = Number(process.env['WORST_CASE_SECONDS'] ?? 15);
/** How long the service is measured without an attack before each attack. */
const QUIET_SECONDS = Math.min(SECONDS, 60);
const LIMIT_A_MINUTE = 600;
const KMS_MS = 30;
const OTHERS = 100;
const PAUSE_MS = 2000;
const API_KEY = 'key-of-a-server';
const MAX_RSS_MB = 400;
/** Below this, a p99 says more about this machine than about the service. */
const LEAST_P99_MS = 1000;

/** Why a call did not get a token: the status and the code of its problem, or the error of the connection. */
function reasonOf({ status, body, failure }: Awaited<ReturnType<typeof send>>): string | undefined {
  if (status === 200) return undefined;
  return failure ?? `${status} ${/"code":"(\w+)"/.exec(body)?.[1] ?? body.slice(0, 80)}`;
}

/** A hundred visitors, each with an address and a connection, until `signal`. */
async function visit(url: string, headers: Record<string, string>, signal: AbortSignal) {
  const times: number[] = [];
  const reasons: Record<string, number> = {};
  const visitor = async (index: number) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await delay((index / OTHERS) * PAUSE_MS);
    while (!signal.aborted) {
      const startMs = performance.now();
      const answer = await send(`${url}/install-token`, `127.0.1.${index + 1}`, { body: '{}', headers }, agent);
      times.push(performance.now() - startMs);
      const reason = reasonOf(answer);
      if (reason) reasons[reason] = (reasons[reason] ?? 0) + 1;
      await delay(PAUSE_MS);
    }
    agent.destroy();
  };
  await Promise.all(Array.from({ length: OTHERS }, (_, index) => visitor(index)));
  const failures = Object.values(reasons).reduce((sum, count) => sum + count, 0);
  const p99Ms = times.toSorted((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0;
  return { calls: times.length, failures, reasons, p99Ms };
}

const rssMb = ({ child }: Process) =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024;

/** Where the key is; every signature takes KMS_MS and is counted. */
type Backend = { readonly settings: Environment; signatures(): number };

const backends = {
  async 'Vault Transit'(t: Test) {
    const vault = await startVault();
    t.teardown(() => vault[Symbol.asyncDispose]());
    await administer(vault.url, vault.rootToken, 'POST', 'sys/mounts/transit', { type: 'transit' });
    await administer(vault.url, vault.rootToken, 'POST', 'transit/keys/shop', { type: 'ecdsa-p256' });
    vault.latencyMs = KMS_MS;
    return {
      settings: { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken, WEBDIST_KEY: 'hashivault://shop' },
      signatures: () => vault.signatures,
    };
  },
  async 'Google Cloud KMS'(t: Test) {
    const google = await startGoogle();
    t.teardown(() => google[Symbol.asyncDispose]());
    const name = 'projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys/key/cryptoKeyVersions/1';
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    google.keys.set(name, { privateKey, algorithm: 'EC_SIGN_P256_SHA256' });
    google.latencyMs = KMS_MS;
    const account = join(temporaryFolder(t), 'account.json');
    writeFileSync(account, JSON.stringify(google.credentials));
    return {
      settings: { ...google.variables(account), WEBDIST_KEY: `gcpkms://${name}` },
      signatures: () => google.signatures,
    };
  },
} satisfies Readonly<Record<string, (t: Test) => Promise<Backend>>>;

/** A service with the default limits. */
async function open(t: Test, { settings }: Backend, more: Environment = {}): Promise<Process> {
  const service = await startProcess(t, {
    ...settingsIn(temporaryFolder(t)),
    ...settings,
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

type Measured = { readonly service: Process; readonly backend: Backend; readonly headers: Record<string, string> };

/** Compares the time of an attack with a quiet one before it. */
async function compare(t: Test, { service, backend, headers }: Measured, attack: Attack): Promise<void> {
  const measure = async (seconds: number, disturb?: Attack) => {
    const stop = AbortSignal.timeout(seconds * 1000);
    const before = backend.signatures();
    let mostMb = 0;
    const sampling = setInterval(() => (mostMb = Math.max(mostMb, rssMb(service))), 200);
    const [visits] = await Promise.all([visit(service.url, headers, stop), disturb?.(service.url, stop)]);
    clearInterval(sampling);
    const signatures = backend.signatures() - before - (visits.calls - visits.failures);
    return { ...visits, mostMb: Math.round(mostMb), attackersSignatures: signatures };
  };
  const quiet = await measure(QUIET_SECONDS);
  const result = await measure(SECONDS, attack);
  // Printed at once, and even if the test passes, because this test is run for its figures.
  process.stderr.write(`${t.name}: ${JSON.stringify({ quietP99Ms: quiet.p99Ms, ...result })}\n`);
  t.same(quiet.reasons, {}, 'no call fails while it is quiet');
  const why = JSON.stringify(result.reasons);
  t.ok(result.failures <= result.calls / 100, `${result.failures} of ${result.calls} calls fail: ${why}`);
  t.ok(result.p99Ms <= Math.max(5 * quiet.p99Ms, LEAST_P99_MS), `p99 ${result.p99Ms} ms, quiet ${quiet.p99Ms} ms`);
  t.ok(result.mostMb <= MAX_RSS_MB, `${result.mostMb} MB`);
  const minutes = Math.ceil(SECONDS / 60) + 1;
  t.ok(result.attackersSignatures <= LIMIT_A_MINUTE * minutes, `${result.attackersSignatures} signatures`);
}

/** Long enough for a start and an end on a machine that is busy. */
const timeout = (SECONDS * 2 + 300) * 1000;
for (const [place, openBackend] of Object.entries(backends))
  for (const [name, attack] of Object.entries(attacks))
    t.test(`${place}: ${name}`, { timeout }, async (t) => {
      const backend = await openBackend(t);
      await compare(t, { backend, service: await open(t, backend), headers: origin }, attack);
    });

t.test('credentials that cannot be verified, because the keys cannot be fetched', { timeout }, async (t) => {
  let fetches = 0;
  const website = createServer((_request, response) => {
    fetches += 1;
    response.writeHead(500).end();
  });
  t.teardown(() => website.close());
  const backend = await backends['Google Cloud KMS'](t);
  const service = await open(t, backend, {
    WEBDIST_AUTH_JWKS_URL: `http://127.0.0.1:${await listen(website)}/jwks`,
    WEBDIST_AUTH_ISSUER: 'https://shop.example.com',
    WEBDIST_AUTH_AUDIENCE: 'webdist',
    WEBDIST_API_KEYS: `server:${createHash('sha256').update(API_KEY).digest('hex')}`,
  });
  const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: 'x' })).toString('base64url');
  const forged = { authorization: `Bearer ${header}.e30.${'A'.repeat(86)}` };
  const attack: Attack = (url, signal) =>
    repeat(signal, 20, () => send(`${url}/marketplace-kit/restore`, ATTACKER, { body: sameApp, headers: forged }));
  await compare(t, { service, backend, headers: { authorization: `Bearer ${API_KEY}` } }, attack);
  t.ok(fetches <= SECONDS + 2, `${fetches} fetches of the keys`);
});
