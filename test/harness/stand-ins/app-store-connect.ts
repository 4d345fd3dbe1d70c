/**
 * A small stand-in for App Store Connect, for tests of the client: it checks the bearer JWT, stores keys and domains,
 * and lets a test answer instead. It is for faults that the sandbox cannot produce; the sandbox checks more strictly.
 */

import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { jwtVerify } from 'jose';
import { type Logger, pino } from 'pino';
import type { Test } from 'tap';
import type { AppStoreConnectOptions } from '../../../src/app-store-connect/client.ts';
import type { RetryPolicy } from '../../../src/app-store-connect/http.ts';
import { type Signer, spki } from '../../../src/jws.ts';
import { type AppleAccount, openClient as openClientOf } from '../app-store-connect.ts';

export const APP = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
const KEY_ID = '2X9R4HXF34';
const ISSUER_ID = '57246542-96fe-1a63-e053-0824d011072a';

export const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });

/** A signer with a new key that counts its signatures. */
export function newSigner(): Signer & { signed: number } {
  const { privateKey, publicKey } = newKey();
  return {
    backend: 'test',
    publicKey,
    signed: 0,
    sign(data) {
      this.signed++;
      return sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    },
    async close() {
      // Nothing is held open.
    },
  };
}

type Received = { method: string; path: string; status: number; authorization: string | undefined };
type Reply = (status: number, body?: unknown, headers?: Record<string, string>) => unknown;
type Call = { method: string; url: URL; body: string; req: IncomingMessage; res: ServerResponse; reply: Reply };
/** Answers instead of the stand-in, or not at all; `false` lets the stand-in answer. */
type Intercept = (call: Call) => unknown;
type Key = { id: string; publicKey: string; spki: string; app: string | undefined };
type Domain = { id: string; domain: string; referenceName: string };

export type Apple = AppleAccount & {
  readonly signer: ReturnType<typeof newSigner>;
  readonly requests: Received[];
  readonly keys: Key[];
  readonly domains: Domain[];
  apps: { appleItemId: string; bundleId: string }[];
  /** Ahead of this machine's clock. */
  skewSeconds: number;
  pageSize: number;
  intercept: Intercept | undefined;
  /** Does the work of a call as if nothing had been intercepted, without answering. */
  apply(call: Call): void;
};

export const appleError = (status: number, code: string, title = 'A title') => ({
  errors: [{ id: 'x', status: String(status), code, title, detail: 'A detail.' }],
});

export const keyOf = (publicKey: KeyObject, app?: string): Key => ({
  id: randomUUID(),
  publicKey: publicKey.export({ format: 'pem', type: 'spki' }) as string,
  spki: spki(publicKey),
  app,
});

/** Listens on loopback until the test ends. */
export async function openApple(t: Test): Promise<Apple> {
  const server = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk);
    const url = new URL(req.url ?? '/', apple.baseUrl);
    const { method = '' } = req;
    const received: Received = { method, path: url.pathname, status: 0, authorization: req.headers.authorization };
    apple.requests.push(received);
    const reply: Reply = (status, body, headers = {}) => {
      received.status = status;
      const date = new Date(Date.now() + apple.skewSeconds * 1000).toUTCString();
      const rate = { 'x-rate-limit': 'user-hour-lim:3500;user-hour-rem:3499;' };
      res.writeHead(status, { 'content-type': 'application/json', date, ...rate, ...headers });
      res.end(typeof body === 'string' || body === undefined ? body : JSON.stringify(body));
    };
    const call: Call = { method, url, body: Buffer.concat(chunks).toString(), req, res, reply };
    if (!apple.intercept || apple.intercept(call) === false) await answer(apple, call);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise((done) => server.close(done));
  });
  const apple: Apple = {
    baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    keyId: KEY_ID,
    issuerId: ISSUER_ID,
    signer: newSigner(),
    requests: [],
    keys: [],
    domains: [],
    apps: [APP],
    skewSeconds: 0,
    pageSize: 200,
    intercept: undefined,
    apply: (call) => {
      route(apple, { ...call, reply: () => undefined });
    },
  };
  return apple;
}

/** Fast, and with every limit low enough for a test to reach it. */
const impatient: RetryPolicy = {
  attemptTimeoutMs: 2_000,
  totalTimeoutMs: 5_000,
  retries: 2,
  backoffMs: 1,
  maxRetryAfterMs: 1_000,
};

/** A client of it with a team key, and everything it logs. */
export function openClient(t: Test, apple: Apple, options: Partial<AppStoreConnectOptions> = {}) {
  const lines: string[] = [];
  const log: Logger = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) });
  const asc = openClientOf(t, apple, { log, ...options, retryPolicy: { ...impatient, ...options.retryPolicy } });
  return { asc, lines, log };
}

async function answer(apple: Apple, call: Call): Promise<unknown> {
  try {
    await checkBearer(apple, call.req.headers.authorization);
  } catch {
    return call.reply(401, appleError(401, 'NOT_AUTHORIZED', 'Authentication credentials are missing or invalid.'));
  }
  return route(apple, call);
}

async function checkBearer(apple: Apple, authorization = ''): Promise<void> {
  const currentDate = new Date(Date.now() + apple.skewSeconds * 1000);
  const key = createPublicKey({ key: apple.signer.publicKey.export({ format: 'jwk' }), format: 'jwk' });
  const { payload } = await jwtVerify(authorization.replace(/^Bearer /, ''), key, {
    audience: 'appstoreconnect-v1',
    issuer: ISSUER_ID,
    algorithms: ['ES256'],
    currentDate,
  });
  const { iat = 0, exp = 0 } = payload;
  if (iat > currentDate.getTime() / 1000 || exp - iat > 1200) throw new Error('bad times');
}

function route(apple: Apple, call: Call): unknown {
  const { method, url, reply } = call;
  const [, , type = '', id, sub] = url.pathname.split('/');
  const notFound = () => reply(404, appleError(404, 'NOT_FOUND'));
  if (type === 'apps' && sub) {
    const key = apple.keys.find((one) => one.app === id);
    return key ? reply(200, { data: keyResource(key) }) : notFound();
  }
  if (type === 'apps') {
    const apps = apple.apps.map((app) => ({ type, id: app.appleItemId, attributes: { bundleId: app.bundleId } }));
    return reply(200, { data: apps });
  }
  const isKeys = type === 'alternativeDistributionKeys';
  const store: (Key | Domain)[] = isKeys ? apple.keys : apple.domains;
  const resources = () =>
    isKeys ? apple.keys.filter((one) => matchesApp(one, url)).map(keyResource) : apple.domains.map(domainResource);
  if (method === 'POST') return isKeys ? addKey(apple, call) : addDomain(apple, call);
  if (!id) return page(apple, url, resources(), reply);
  const at = store.findIndex((one) => one.id === id);
  if (at < 0) return notFound();
  if (method === 'GET') return reply(200, { data: resources()[at] });
  store.splice(at, 1);
  return reply(204);
}

const keyResource = ({ id, publicKey }: Key) => ({
  type: 'alternativeDistributionKeys',
  id,
  attributes: { publicKey },
});

const domainResource = ({ id, domain, referenceName }: Domain) => ({
  type: 'alternativeDistributionDomains',
  id,
  attributes: { domain, referenceName, createdDate: '2026-11-21T10:20:00Z' },
});

function matchesApp(key: Key, url: URL): boolean {
  const wanted = url.searchParams.get('exists[app]');
  return wanted === null || String(key.app !== undefined) === wanted;
}

function page(apple: Apple, url: URL, resources: unknown[], reply: Reply): unknown {
  const from = Number(url.searchParams.get('cursor') ?? 0);
  const next = new URL(url);
  next.searchParams.set('cursor', String(from + apple.pageSize));
  const hasMore = from + apple.pageSize < resources.length;
  return reply(200, { data: resources.slice(from, from + apple.pageSize), links: hasMore ? { next: next.href } : {} });
}

const duplicate = appleError(409, 'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE');

function addKey(apple: Apple, { body, reply }: Call): unknown {
  const { data } = JSON.parse(body);
  const key = keyOf(createPublicKey(data.attributes.publicKey), data.relationships?.app.data.id);
  if (apple.keys.some((one) => one.spki === key.spki || (key.app && one.app === key.app))) return reply(409, duplicate);
  apple.keys.push(key);
  return reply(201, { data: keyResource(key) });
}

function addDomain(apple: Apple, { body, reply }: Call): unknown {
  const { domain, referenceName } = JSON.parse(body).data.attributes;
  if (apple.domains.some((one) => one.domain === domain)) return reply(409, duplicate);
  const added = { id: randomUUID(), domain, referenceName };
  apple.domains.push(added);
  return reply(201, { data: domainResource(added) });
}
