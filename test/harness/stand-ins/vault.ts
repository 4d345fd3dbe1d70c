/**
 * Vault for tests: the parts of its HTTP API (developer.hashicorp.com/vault/api-docs) that webdist uses, and those with
 * which a test sets it up, with real keys inside. Strict about paths, headers and bodies. The contracts also run against
 * a real server (vault-server.ts).
 */

import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { listen } from '../port.ts';
import { type Faulty, RETRY_AFTER_SECONDS, showFault, type VendorFault } from './fault.ts';
import { described, newKey, signed, type TransitKey } from './vault-transit.ts';

type VaultToken = { may: 'everything' | 'read' | 'nothing'; ttlSeconds: number; renewable: boolean };

export interface VaultStandIn extends Faulty, AsyncDisposable {
  readonly url: string;
  readonly rootToken: string;
  /** Requests must carry this as X-Vault-Namespace. */
  namespace: string | undefined;
  /** False: like a server that ignores `marshaling_algorithm` and returns DER. */
  knowsJws: boolean;
  /** The properties of tokens from a login. */
  login: { ttlSeconds: number; renewable: boolean };
  readonly appRole: { roleId: string; secretId: string };
  /** Logins with this role and JWT succeed. */
  readonly kubernetes: { role: string; jwt: string };
  readonly vaultTokens: Map<string, VaultToken>;
  /** `METHOD path` of every request, oldest first. */
  readonly requests: string[];
  /** How long each answer takes. */
  latencyMs: number;
  /** How many signatures were made; a request can ask for several. */
  signatures: number;
  /** Called after each request was answered. */
  onRequest: ((request: string) => void) | undefined;
}

type Body = Record<string, unknown>;
type Reply = readonly [status: number, body?: object | string, headers?: Record<string, string>];

const errors = (status: number, ...said: string[]): Reply => [status, { errors: said }];
const denied = errors(403, '1 error occurred:\n\t* permission denied\n\n');
const notFound: Reply = [404, { errors: [] }];

/** Starts a Vault with a root token and nothing mounted; `tls` makes it https. */
export async function startVault(tls?: { key: string; cert: string }): Promise<VaultStandIn> {
  const mounts = new Map<string, 'transit' | 'kv' | 'kv1'>();
  const keys = new Map<string, TransitKey>();
  const secrets = new Map<string, Body | null>();
  const rootToken = `hvs.${randomUUID()}`;

  const newToken = (token: VaultToken) => {
    const id = `hvs.${randomUUID()}`;
    vault.vaultTokens.set(id, token);
    return { auth: { client_token: id, lease_duration: token.ttlSeconds, renewable: token.renewable } };
  };

  const auth = (method: string, path: string, body: Body, id: string): Reply | undefined => {
    const { appRole, kubernetes, login } = vault;
    if (path === 'auth/approle/login' || path === 'auth/team/shop/login')
      return body['role_id'] === appRole.roleId && body['secret_id'] === appRole.secretId
        ? [200, newToken({ may: 'everything', ...login })]
        : errors(400, 'invalid role or secret ID');
    if (path === 'auth/kubernetes/login')
      return body['role'] === kubernetes.role && body['jwt'] === kubernetes.jwt
        ? [200, newToken({ may: 'everything', ...login })]
        : denied;
    const token = vault.vaultTokens.get(id);
    if (!token) return errors(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n');
    if (path === 'auth/token/lookup-self')
      return [200, { data: { id, ttl: token.ttlSeconds, renewable: token.renewable } }];
    if (path === 'auth/token/renew-self')
      return token.renewable
        ? [200, { auth: { client_token: id, lease_duration: token.ttlSeconds, renewable: true } }]
        : errors(400, 'lease is not renewable');
    const isAllowed = token.may === 'everything' || (token.may === 'read' && method === 'GET');
    return isAllowed ? undefined : denied;
  };

  const admin = (method: string, path: string, body: Body): Reply | undefined => {
    const shown = mounts.get(/^sys\/internal\/ui\/mounts\/(.+)$/.exec(path)?.[1] ?? '');
    if (shown === 'transit') return [200, { data: { type: 'transit', options: null } }];
    if (shown) return [200, { data: { type: 'kv', options: { version: shown === 'kv' ? '2' : '1' } } }];
    if (method !== 'POST') return undefined;
    const mount = /^sys\/mounts\/(.+)$/.exec(path)?.[1];
    if (mount) {
      const version = (body['options'] as Body | undefined)?.['version'];
      mounts.set(mount, body['type'] === 'transit' ? 'transit' : version === '1' ? 'kv1' : 'kv');
      return [204];
    }
    if (path === 'auth/token/create') return [200, newToken({ may: 'nothing', ttlSeconds: 3600, renewable: true })];
    return undefined;
  };

  const transit = (method: string, mount: string, path: string, body: Body): Reply => {
    const [, verb, name = '', rest] = /^(keys|sign)\/([^/]+)(?:\/(.+))?$/.exec(path) ?? [];
    const key = keys.get(`${mount}/${name}`);
    if (verb === 'keys' && method === 'POST' && rest === undefined) {
      const type = String(body['type']);
      keys.set(`${mount}/${name}`, { type, versions: [newKey(type)], minEncryptionVersion: 0, autoRotateSeconds: 0 });
      return [200, {}];
    }
    if (!key) return verb === 'keys' ? notFound : errors(400, 'signing key not found');
    if (verb === 'keys' && method === 'POST' && rest === 'rotate') {
      key.versions.push(newKey(key.type));
      return [200, {}];
    }
    if (verb === 'keys' && method === 'POST' && rest === 'config') {
      key.minEncryptionVersion = Number(body['min_encryption_version'] ?? key.minEncryptionVersion);
      key.autoRotateSeconds = Number(body['auto_rotate_period'] ?? key.autoRotateSeconds);
      return [200, {}];
    }
    if (verb === 'keys' && method === 'GET' && rest === undefined) return [200, { data: described(key) }];
    if (verb === 'sign' && method === 'POST' && rest === 'sha2-256') {
      const reply = signed(key, body, vault.knowsJws);
      if (reply[0] === 200) vault.signatures += (body['batch_input'] as unknown[]).length;
      return reply;
    }
    return errors(405, 'unsupported operation');
  };

  const kv = (method: string, mount: string, path: string, body: Body): Reply => {
    const name = /^data\/(.+)$/.exec(path)?.[1];
    if (!name) return notFound;
    const place = `${mount}/${name}`;
    if (method === 'POST' || method === 'DELETE') {
      secrets.set(place, method === 'POST' ? (body['data'] as Body) : null);
      return [204];
    }
    const data = secrets.get(place);
    if (data === undefined) return notFound;
    return [data === null ? 404 : 200, { data: { data, metadata: { version: 1, destroyed: false } } }];
  };

  const answer = async (incoming: IncomingMessage): Promise<Reply> => {
    const { method = '', headers } = incoming;
    // Vault decodes the path before it finds the mount, whose name can contain slashes.
    const path = decodeURIComponent(/^\/v1\/([^?]+)$/.exec(incoming.url ?? '')?.[1] ?? '');
    const sent = await text(incoming);
    if (!path) return notFound;
    if (headers['x-vault-request'] !== 'true') return errors(412, "'X-Vault-Request' header is missing");
    if (headers['x-vault-namespace'] !== vault.namespace) return denied;
    if (method === 'POST' && headers['content-type'] !== 'application/json') return errors(400, 'error parsing JSON');
    const body: Body = sent === '' ? {} : JSON.parse(sent);
    const id = String(headers['x-vault-token']);
    if (vault.fault === 'expired') return faults.expired;
    if (vault.fault && !path.startsWith('auth/')) return faults[vault.fault as VendorFault];
    const mount = [...mounts.keys()].find((name) => path.startsWith(`${name}/`)) ?? '';
    const [kind, rest] = [mounts.get(mount), path.slice(mount.length + 1)];
    const early = auth(method, path, body, id) ?? admin(method, path, body);
    if (early) return early;
    if (kind === 'transit') return transit(method, mount, rest, body);
    if (kind === 'kv') return kv(method, mount, rest, body);
    return errors(404, `no handler for route "${path}". route entry not found.`);
  };

  const listener: RequestListener = async (incoming, outgoing) => {
    if (vault.latencyMs > 0) await delay(vault.latencyMs);
    const isSignIn = incoming.url?.startsWith('/v1/auth/');
    const reply = !isSignIn && showFault(outgoing, vault.fault) ? undefined : await answer(incoming);
    const request = `${incoming.method} ${incoming.url?.replace('/v1/', '')}`;
    vault.requests.push(request);
    if (reply) {
      const [status, body, headers] = reply;
      outgoing.writeHead(status, { 'content-type': 'application/json', ...headers });
      outgoing.end(typeof body === 'string' ? body : body && JSON.stringify(body));
    }
    vault.onRequest?.(request);
  };
  const server = tls ? createTlsServer(tls, listener) : createServer(listener);
  const port = await listen(server);
  const vault: VaultStandIn = {
    url: tls ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    rootToken,
    fault: undefined,
    namespace: undefined,
    knowsJws: true,
    login: { ttlSeconds: 3600, renewable: true },
    appRole: { roleId: randomUUID(), secretId: randomUUID() },
    kubernetes: { role: 'webdist', jwt: `${randomUUID()}.${randomUUID()}.${randomUUID()}` },
    vaultTokens: new Map([[rootToken, { may: 'everything', ttlSeconds: 0, renewable: false }]]),
    requests: [],
    latencyMs: 0,
    signatures: 0,
    onRequest: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
  return vault;
}

const faults: Readonly<Record<VendorFault, Reply>> = {
  denied,
  throttled: [429, { errors: ['rate limit quota exceeded'] }, { 'retry-after': String(RETRY_AFTER_SECONDS) }],
  broken: errors(503, 'Vault is sealed'),
  malformed: [200, { data: {} }],
  expired: errors(403, '2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n'),
};

/** Sets up a server, real or stand-in, through its API; throws if a call fails. */
export async function administer(url: string, vaultToken: string, method: string, path: string, body: object = {}) {
  const answer = await fetch(`${url}/v1/${path}`, {
    method,
    headers: { 'X-Vault-Token': vaultToken, 'X-Vault-Request': 'true', 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  const said = await answer.text();
  return said === '' ? {} : JSON.parse(said);
}
