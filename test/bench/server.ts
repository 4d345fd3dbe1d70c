/**
 * One server to measure, as a process of its own: `node server.ts KIND FOLDER`. Writes its URL, and for each line on
 * stdin what it has used so far, as JSON lines to file descriptor 3, because stdout is for the log. Ends with stdin.
 */

import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import { readFileSync, writeFileSync, writeSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import express from 'express';
import { fastify } from 'fastify';
import { SignJWT } from 'jose';
import jsonwebtoken from 'jsonwebtoken';
import { batchPerTick } from '../../src/batch.ts';
import { keepCodeWhileIdle } from '../../src/cli/serve/idle-memory.ts';
import { readConfig } from '../../src/config/config.ts';
import type { Environment } from '../../src/environment.ts';
import { buildServer, type ServerOptions } from '../../src/http/server.ts';
import { claimsFor } from '../../src/install-token/claims.ts';
import { issue } from '../../src/install-token/issue.ts';
import { openNonces } from '../../src/install-token/nonce.ts';
import { headerFor, signingKey } from '../../src/jws.ts';
import { openLog } from '../../src/log.ts';
import { openStdout } from '../../src/log-output.ts';
import { openService } from '../../src/service/service.ts';
import { openLocalSigner } from '../../src/signer/local.ts';
import { settingsIn } from '../harness/service.ts';

/** What the process has used since it started; `signMicroseconds` is one bare OpenSSL signature, on request. */
export type Used = {
  readonly cpuMicroseconds: number;
  readonly rssBytes: number;
  readonly signMicroseconds?: number;
};

const APP = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
/** The request of a device that restores everything. */
export const manyApps = Array.from({ length: 100 }, (_, index) => ({
  appleItemId: String(6500000100 + index),
  bundleId: `com.example.app${index}`,
}));
const KEY_ID = '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11';
const LIFETIME_SECONDS = 1200;
const SIGNATURES = 2000;

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
const expiresAt = (exp: number) => new Date(exp * 1000).toISOString();
const newClaims = () =>
  claimsFor({
    app: APP,
    dtype: 'download',
    issuedAtSeconds: Math.floor(Date.now() / 1000),
    lifetimeSeconds: LIFETIME_SECONDS,
    nonce: randomUUID().toUpperCase(),
  });

async function listenFastify(answer: () => Promise<object> | object): Promise<string> {
  const app = fastify();
  app.post('/install-token', async (_request, reply) => {
    reply.header('cache-control', 'no-store');
    return answer();
  });
  return app.listen({ host: '127.0.0.1', port: 0 });
}

async function listenFull(env: Environment, more: Partial<ServerOptions> = {}): Promise<string> {
  keepCodeWhileIdle();
  const config = readConfig(env);
  const log = openLog(config.logLevel, openStdout());
  const { serverDeps } = await openService(config, { env, log });
  const { app } = await buildServer({ ...serverDeps, ...more });
  return app.listen({ host: '127.0.0.1', port: 0 });
}

/** The kinds of server; each returns its URL. */
const kinds = {
  /** Fastify and a constant response of a token's size. */
  constant: () =>
    listenFastify(() => ({
      token: 'x'.repeat(470),
      expiresAt: '2026-11-21T10:20:00Z',
      dtype: 'download',
      keyId: KEY_ID,
      nonce: 'x'.repeat(36),
    })),
  /** Fastify and our own issue path, nothing else. */
  bare: () => {
    const { signer } = openLocalSigner(pem, 'env');
    const key = signingKey(signer, KEY_ID);
    const parts = {
      keyFor: async () => key,
      decide: batchPerTick(async (entries: readonly object[]) =>
        entries.map(() => ({ dtype: 'download', isNewInstall: false }) as const),
      ),
      addIssued: async () => undefined,
      nonce: openNonces(randomBytes(32), [APP.appleItemId]).seal,
      now: Date.now,
      lifetimeSeconds: LIFETIME_SECONDS,
    };
    return listenFastify(async () => {
      const { installToken, expiresAtSeconds, dtype, keyId, nonce } = await issue({ app: APP }, parts);
      return { token: installToken, expiresAt: expiresAt(expiresAtSeconds), dtype, keyId, nonce };
    });
  },
  /** webdist as `webdist serve` runs it, with all defaults except the limits and what the benchmark sets. */
  full: (folder: string) =>
    listenFull(
      settingsIn(folder, {
        WEBDIST_API_KEYS: `bench:${process.env['BENCH_API_KEY_SHA256']}`,
        ...JSON.parse(process.env['BENCH_SETTINGS'] ?? '{}'),
      }),
    ),
  /** The same, refusing every request as it does when it is overloaded. */
  refusing: (folder: string) =>
    listenFull(settingsIn(folder), {
      overloadLimits: { maxLagMs: Infinity, maxUnderWay: 0, leastUnderWay: 0, holdMs: 0 },
    }),
  /** The same with a hundred apps, their packages' manifests, and the endpoints for devices. */
  device: async (folder: string) => {
    const { WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_KEY, WEBDIST_KEY_ID, ...env } = settingsIn(folder, {
      WEBDIST_LICENSE_DYNAMIC_URL: 'https://shop.example.com/ald/license',
      WEBDIST_CONFIG: join(folder, 'apps.json'),
    });
    const apps = manyApps.map((app) => {
      const packageManifest = pathToFileURL(join(folder, `${app.appleItemId}.json`));
      writeFileSync(packageManifest, JSON.stringify({ ...app, appleVersionId: '2000000057', bundleVersion: '57' }));
      const packageUrl = `https://shop.example.com/${app.appleItemId}/manifest.json`;
      return { ...app, key: WEBDIST_KEY, keyId: WEBDIST_KEY_ID, packageUrl, packageManifest: packageManifest.href };
    });
    writeFileSync(join(folder, 'apps.json'), JSON.stringify({ apps }));
    return listenFull(env);
  },
  /** Fastify and jose. */
  jose: () =>
    listenFastify(async () => {
      const claims = newClaims();
      const token = await new SignJWT(claims).setProtectedHeader(headerFor(KEY_ID)).sign(privateKey);
      return { token, expiresAt: expiresAt(claims.exp), dtype: claims.dtype, keyId: KEY_ID, nonce: claims.nonce };
    }),
  /** Express and jsonwebtoken. */
  express: () => {
    const app = express();
    const key = createPrivateKey(pem);
    app.post('/install-token', express.json(), (_request, response) => {
      const claims = newClaims();
      const token = jsonwebtoken.sign(claims, key, { algorithm: 'ES256', header: headerFor(KEY_ID) });
      response.set('cache-control', 'no-store');
      response.json({ token, expiresAt: expiresAt(claims.exp), dtype: claims.dtype, keyId: KEY_ID });
    });
    return new Promise<string>((resolve) => {
      const server = app.listen(0, '127.0.0.1', () =>
        resolve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
      );
    });
  },
};

export type Kind = keyof typeof kinds;

/** The mean of many consecutive signatures after a warm-up: the lower bound for every server. */
function signMicroseconds(): number {
  const data = Buffer.from('x'.repeat(380));
  const before = process.cpuUsage();
  for (let count = 0; count < SIGNATURES; count++) sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
  const { user, system } = process.cpuUsage(before);
  return (user + system) / SIGNATURES;
}

/** The resident memory of this process; unlike `maxRSS`, it can fall. */
const rssBytes = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const tell = (said: object) => writeSync(3, `${JSON.stringify(said)}\n`);
  const [, , kind, folder = ''] = process.argv;
  tell({ url: await kinds[kind as Kind](folder) });
  createInterface({ input: process.stdin })
    .on('line', (asked) => {
      const signed = asked === 'sign' ? { signMicroseconds: signMicroseconds() } : {};
      const { user, system } = process.cpuUsage();
      tell({ cpuMicroseconds: user + system, rssBytes: rssBytes(), ...signed } satisfies Used);
    })
    .on('close', () => process.exit(0));
}
