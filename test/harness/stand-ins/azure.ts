/**
 * Azure for tests: Key Vault's REST API (get key, list key versions, sign, get secret) and the part of Microsoft Entra
 * ID that a client secret needs, written from their published references, with real keys inside. It answers under
 * Azure's own host names: a proxy (HTTPS_PROXY) leads here, and this process trusts a certificate made for the run, so
 * that none of the SDK's checks are turned off. Strict about hosts, paths, api-version, the challenge, tokens and
 * bodies.
 */

import { spawnSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';
import { createServer as createProxy, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import { connect } from 'node:net';
import { pipeline } from 'node:stream';
import { text } from 'node:stream/consumers';
import tls from 'node:tls';
import { listen } from '../port.ts';
import { type Faulty, RETRY_AFTER_SECONDS, showFault, type VendorFault } from './fault.ts';
import { signDigest } from './sign-digest.ts';

/** Why tests must be skipped: no certificate can be made. Undefined if one can. */
export const withoutOpenssl =
  spawnSync('openssl', ['version']).status === 0
    ? undefined
    : 'openssl is not installed (it makes the test certificate)';

type AzureKey = {
  readonly version: string;
  readonly privateKey: KeyObject;
  readonly operations?: readonly string[];
  enabled?: boolean;
};

export interface Azure extends Faulty, AsyncDisposable {
  /** Variables that direct Azure's SDK here: HTTPS_PROXY and AZURE_…. */
  readonly variables: Readonly<Record<string, string>>;
  /** Secrets that must never appear: the client secret and the access token. */
  readonly confidential: readonly string[];
  /** The vault's name, for locators. */
  readonly vault: string;
  /** Versions of keys by name, the current one last. */
  readonly keys: Map<string, AzureKey[]>;
  /** The rotation policies of keys, by name; a key without one may not be read. */
  readonly rotationPolicies: Map<string, object>;
  /** By name. */
  readonly secrets: Map<string, string>;
  /** The inner code with which every call to the vault is refused (403); undefined: none. */
  refusal: string | undefined;
}

const VAULT = 'shop-vault';
const VAULT_HOST = `${VAULT}.vault.azure.net`;
const LOGIN_HOST = 'login.microsoftonline.com';

type Answer = readonly [status: number, body: object, headers?: Record<string, string>];
type Entra = {
  readonly tenantId: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly accessToken: string;
};

/** Starts an empty vault and one client that may use it; changes which TLS authorities this process trusts. */
export async function startAzure(): Promise<Azure> {
  const certificate = makeCertificate();
  tls.setDefaultCACertificates([...tls.getCACertificates('default'), certificate.cert]);
  const entra = {
    tenantId: randomUUID(),
    clientId: randomUUID(),
    clientSecret: randomUUID(),
    accessToken: randomUUID(),
  };

  const server = createServer(certificate, async (request, response) => {
    if (request.headers.host !== LOGIN_HOST && showFault(response, azure.fault)) return;
    send(response, await answerTo(azure, entra, request));
  });
  const port = await listen(server);
  const proxy = createProxy().on('connect', (request, socket) => {
    if (request.url !== `${VAULT_HOST}:443` && request.url !== `${LOGIN_HOST}:443`) {
      socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n');
      return;
    }
    const tunnel = connect(port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    // A broken tunnel is a requested fault or the end of the test; the SDK gets its own error.
    pipeline(socket, tunnel, socket, () => undefined);
  });

  const azure: Azure = {
    variables: {
      HTTPS_PROXY: `http://127.0.0.1:${await listen(proxy)}`,
      AZURE_TENANT_ID: entra.tenantId,
      AZURE_CLIENT_ID: entra.clientId,
      AZURE_CLIENT_SECRET: entra.clientSecret,
    },
    confidential: [entra.clientSecret, entra.accessToken],
    vault: VAULT,
    keys: new Map(),
    rotationPolicies: new Map(),
    secrets: new Map(),
    fault: undefined,
    refusal: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      proxy.closeAllConnections();
      proxy.close();
    },
  };
  return azure;
}

function makeCertificate(): { key: string; cert: string } {
  const names = `subjectAltName=DNS:${VAULT_HOST},DNS:${LOGIN_HOST}`;
  const options = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', '-', '-out', '-'];
  const { stdout } = spawnSync('openssl', ['req', '-x509', ...options, '-subj', '/CN=webdist-test', '-addext', names], {
    encoding: 'utf8',
  });
  const cert = stdout.slice(stdout.indexOf('-----BEGIN CERTIFICATE'));
  return { key: stdout.slice(0, stdout.length - cert.length), cert };
}

const send = (response: ServerResponse, [status, body, headers]: Answer) =>
  response
    .writeHead(status, { 'content-type': 'application/json; charset=utf-8', ...headers })
    .end(JSON.stringify(body));

const problem = (status: number, code: string, headers: Record<string, string> = {}): Answer => [
  status,
  { error: { code, message: `The stand-in says ${code}.` } },
  headers,
];
const forbidden = (inner: string): Answer => [
  403,
  { error: { code: 'Forbidden', message: `The stand-in says ${inner}.`, innererror: { code: inner } } },
];

async function answerTo(azure: Azure, entra: Entra, request: IncomingMessage): Promise<Answer> {
  const body = await text(request);
  const url = new URL(request.url ?? '', `https://${request.headers.host}`);
  if (url.hostname === LOGIN_HOST && azure.fault === 'expired' && request.method === 'POST') return faults.expired;
  if (url.hostname === LOGIN_HOST) return signIn(entra, `${request.method} ${url.pathname}`, new URLSearchParams(body));
  if (url.hostname !== VAULT_HOST) return problem(404, 'NoSuchHost');
  if (request.headers.authorization !== `Bearer ${entra.accessToken}`) {
    const challenge = `Bearer authorization="https://${LOGIN_HOST}/${entra.tenantId}", resource="https://vault.azure.net"`;
    return problem(401, 'Unauthorized', { 'www-authenticate': challenge });
  }
  if (azure.fault) return faults[azure.fault as VendorFault];
  if (azure.refusal) return forbidden(azure.refusal);
  if (!/^(7\.\d|20\d\d-\d\d-\d\d)/.test(url.searchParams.get('api-version') ?? '')) return problem(400, 'BadParameter');
  const [, collection, name, version, verb] =
    /^\/(keys|secrets)\/([A-Za-z0-9-]+)\/?(create|[a-z0-9]*)(\/sign)?$/.exec(url.pathname) ?? [];
  const special = ['versions', 'create', 'rotationpolicy'].includes(version ?? '') ? `/${version}` : '';
  const route = routes[`${request.method} ${collection}${special}${verb ?? ''}`];
  return name && route ? route(azure, name, version ?? '', body) : problem(404, 'NotFound');
}

/** OpenID configuration and client credentials grant of Microsoft Entra ID. */
function signIn(entra: Entra, what: string, form: URLSearchParams): Answer {
  const authority = `https://${LOGIN_HOST}/${entra.tenantId}`;
  if (what === `GET /${entra.tenantId}/v2.0/.well-known/openid-configuration`)
    return [
      200,
      {
        issuer: `${authority}/v2.0`,
        authorization_endpoint: `${authority}/oauth2/v2.0/authorize`,
        token_endpoint: `${authority}/oauth2/v2.0/token`,
        jwks_uri: `${authority}/discovery/v2.0/keys`,
      },
    ];
  if (what !== `POST /${entra.tenantId}/oauth2/v2.0/token`) return [404, { error: 'invalid_request' }];
  if (form.get('client_id') !== entra.clientId || form.get('client_secret') !== entra.clientSecret)
    return [401, { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret provided.' }];
  if (form.get('grant_type') !== 'client_credentials') return [400, { error: 'unsupported_grant_type' }];
  if (!form.get('scope')?.split(' ').includes('https://vault.azure.net/.default'))
    return [400, { error: 'invalid_scope' }];
  return [200, { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token: entra.accessToken }];
}

function keyBundle(name: string, { version, privateKey, operations, enabled }: AzureKey) {
  const { kty, crv, x, y } = createPublicKey(privateKey).export({ format: 'jwk' });
  const kid = `https://${VAULT_HOST}/keys/${name}/${version}`;
  const attributes = { enabled: enabled !== false, created: 1, updated: 1, recoveryLevel: 'Recoverable+Purgeable' };
  return { key: { kid, kty, crv, x, y, key_ops: operations ?? ['sign', 'verify'] }, attributes };
}

const findKey = (azure: Azure, name: string, version: string) =>
  azure.keys.get(name)?.findLast((key) => version === '' || key.version === version);

const routes: Readonly<Record<string, (azure: Azure, name: string, version: string, body: string) => Answer>> = {
  'GET keys'(azure, name, version) {
    const key = findKey(azure, name, version);
    return key ? [200, keyBundle(name, key)] : problem(404, 'KeyNotFound');
  },
  'GET keys/versions'(azure, name) {
    const bundles = (azure.keys.get(name) ?? []).map((key) => keyBundle(name, key));
    const value = bundles.map(({ key, attributes }) => ({ kid: key.kid, attributes }));
    return value.length > 0 ? [200, { value, nextLink: null }] : problem(404, 'KeyNotFound');
  },
  'GET keys/rotationpolicy'(azure, name) {
    const policy = azure.rotationPolicies.get(name);
    return policy ? [200, policy] : forbidden('ForbiddenByRbac');
  },
  'POST keys/create'(azure, name, _, body) {
    const { kty, crv, key_ops: operations } = JSON.parse(body) as { kty?: string; crv?: string; key_ops?: string[] };
    if (kty !== 'EC' || crv !== 'P-256' || !operations) return problem(400, 'BadParameter');
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = { version: randomUUID().replaceAll('-', ''), privateKey, operations };
    azure.keys.set(name, [...(azure.keys.get(name) ?? []), key]);
    return [200, keyBundle(name, key)];
  },
  'POST keys/sign'(azure, name, version, body) {
    const key = findKey(azure, name, version);
    const { alg, value } = JSON.parse(body) as { alg?: string; value?: string };
    const digest = Buffer.from(value ?? '', 'base64url');
    if (!key || version === '') return problem(404, 'KeyNotFound');
    if (key.enabled === false) return forbidden('KeyDisabled');
    if (alg !== 'ES256' || digest.length !== 32) return problem(400, 'BadParameter');
    const signature = signDigest(digest, key.privateKey).toString('base64url');
    return [200, { kid: keyBundle(name, key).key.kid, value: signature }];
  },
  'GET secrets'(azure, name, version) {
    const value = version === '' ? azure.secrets.get(name) : undefined;
    if (value === undefined) return problem(404, 'SecretNotFound');
    return [
      200,
      { value, id: `https://${VAULT_HOST}/secrets/${name}/0123456789abcdef`, attributes: { enabled: true } },
    ];
  },
};

const faults: Readonly<Record<VendorFault, Answer>> = {
  denied: problem(403, 'Forbidden'),
  throttled: problem(429, 'Throttled', { 'retry-after': String(RETRY_AFTER_SECONDS) }),
  broken: problem(500, 'InternalServerError'),
  malformed: [200, {}],
  expired: [
    401,
    { error: 'invalid_client', error_description: 'AADSTS7000222: The provided client secret keys are expired.' },
  ],
};
