/**
 * Google for tests: the REST forms of Cloud KMS v1 (cryptoKeyVersions.getPublicKey, asymmetricSign) and Secret Manager
 * v1 (versions.access), written from their published references, with real keys inside. Accepts access JWTs of its
 * service account (AIP-4111). Strict about paths, bodies and checksums.
 */

import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { joseToDer } from 'ecdsa-sig-formatter';
import { jwtVerify } from 'jose';
import { crc32c } from '../../../src/cloud/google.ts';
import { listen } from '../port.ts';
import { type Faulty, RETRY_AFTER_SECONDS, showFault, type VendorFault } from './fault.ts';
import { signDigest } from './sign-digest.ts';

type GoogleKey = {
  readonly privateKey: KeyObject;
  readonly algorithm: keyof typeof algorithms;
  enabled?: boolean;
};

interface Google extends Faulty, AsyncDisposable {
  /** Variables that direct Google's SDKs here, with credentials from this file. */
  variables(credentialsFile: string): Readonly<Record<string, string>>;
  /** The file for GOOGLE_APPLICATION_CREDENTIALS: a service account of this stand-in. */
  readonly credentials: object;
  /** Secrets that must never appear: the account's private key (one line of it) and the access JWTs seen so far. */
  readonly confidential: string[];
  /** By resource name, `projects/…/cryptoKeyVersions/1`. */
  readonly keys: Map<string, GoogleKey>;
  /** By resource name, `projects/…/versions/1`. */
  readonly secrets: Map<string, string>;
  /** Sends checksums that do not match. */
  damage: boolean;
  /** How long each answer takes. */
  latencyMs: number;
  /** How many signatures were made. */
  signatures: number;
}

/** CryptoKeyVersion.CryptoKeyVersionAlgorithm, as `enum-encoding=int` sends them. */
const algorithms = { EC_SIGN_P256_SHA256: 12, EC_SIGN_P384_SHA384: 13, EC_SIGN_SECP256K1_SHA256: 31 } as const;

type Answer = readonly [status: number, body: object | string, headers?: Record<string, string>];

const problem = (
  code: number,
  status: string,
  message = `The stand-in says ${status}.`,
  details: object[] = [],
): Answer => [code, { error: { code, status, message, details } }];

const disabled = problem(400, 'FAILED_PRECONDITION', 'The version is not enabled, current state is: DISABLED.');

/** Starts a stand-in with one service account and nothing else. */
export async function startGoogle(): Promise<Google> {
  const account = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const email = 'webdist@shop.iam.gserviceaccount.com';
  const server = createServer(async (request, response) => {
    if (google.latencyMs > 0) await delay(google.latencyMs);
    if (showFault(response, google.fault)) return;
    send(response, await answerTo(google, request, (bearer) => mayEnter(bearer, account.publicKey, email)));
  });
  const privateKey = account.privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
  const url = `http://127.0.0.1:${await listen(server)}/`;
  const google: Google = {
    variables: (credentialsFile) => ({
      GOOGLE_APPLICATION_CREDENTIALS: credentialsFile,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS: url,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_SECRETMANAGER: url,
    }),
    credentials: {
      type: 'service_account',
      project_id: 'shop',
      private_key_id: 'test',
      private_key: privateKey,
      client_email: email,
      client_id: '1',
      token_uri: 'http://127.0.0.1:1/never-asked',
    },
    confidential: [privateKey.split('\n')[5] ?? ''],
    keys: new Map(),
    secrets: new Map(),
    damage: false,
    latencyMs: 0,
    signatures: 0,
    fault: undefined,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
  return google;
}

function send(response: ServerResponse, [status, body, headers]: Answer): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=UTF-8', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

async function mayEnter(bearer: string, publicKey: KeyObject, email: string): Promise<boolean> {
  try {
    const { payload } = await jwtVerify(bearer, publicKey, { algorithms: ['RS256'], issuer: email, subject: email });
    return String(payload['scope']).split(' ').includes('https://www.googleapis.com/auth/cloud-platform');
  } catch {
    return false; // Every invalid credential gets a response, whatever is wrong with it.
  }
}

async function answerTo(
  google: Google,
  request: IncomingMessage,
  known: (bearer: string) => Promise<boolean>,
): Promise<Answer> {
  const body = request.method === 'POST' ? await json(request) : undefined;
  const bearer = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1] ?? '';
  if (!(await known(bearer))) return problem(401, 'UNAUTHENTICATED');
  google.confidential.push(bearer);
  if (google.fault) return faults[google.fault as VendorFault];
  const url = new URL(request.url ?? '', 'http://127.0.0.1');
  const keyRing = /^\/v1\/(projects\/[^:]+\/keyRings\/[^/]+)\/cryptoKeys$/.exec(url.pathname)?.[1];
  if (keyRing && request.method === 'POST') return create(google, keyRing, url.searchParams, body);
  const [, name, verb] =
    /^\/v1\/(projects\/[^:]+?)(\/publicKey|:asymmetricSign|:access)$/.exec(decodeURIComponent(url.pathname)) ?? [];
  const route = routes[`${request.method} ${verb}`];
  return name && route ? route(google, name, body) : problem(404, 'NOT_FOUND');
}

/** cryptoKeys.create; enums are numbers, as `enum-encoding=int` sends them. */
function create(google: Google, keyRing: string, query: URLSearchParams, body: unknown): Answer {
  const { purpose, versionTemplate } = body as { purpose?: unknown; versionTemplate?: { algorithm?: unknown } };
  const isSigning = purpose === 'ASYMMETRIC_SIGN' || purpose === 5;
  const isP256 = ['EC_SIGN_P256_SHA256', algorithms.EC_SIGN_P256_SHA256].includes(versionTemplate?.algorithm as string);
  const name = `${keyRing}/cryptoKeys/${query.get('cryptoKeyId')}`;
  if (!isSigning || !isP256) return problem(400, 'INVALID_ARGUMENT');
  if (google.keys.has(`${name}/cryptoKeyVersions/1`)) return problem(409, 'ALREADY_EXISTS');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  google.keys.set(`${name}/cryptoKeyVersions/1`, { privateKey, algorithm: 'EC_SIGN_P256_SHA256' });
  return [200, { name, purpose }];
}

const routes: Readonly<Record<string, (google: Google, name: string, body: unknown) => Answer>> = {
  'GET /publicKey'(google, name) {
    const key = google.keys.get(name);
    if (!key) return problem(404, 'NOT_FOUND');
    if (key.enabled === false) return disabled;
    const pem = createPublicKey(key.privateKey).export({ format: 'pem', type: 'spki' }) as string;
    return [
      200,
      { name, algorithm: algorithms[key.algorithm], protectionLevel: 1, pem, pemCrc32c: checksum(google, pem) },
    ];
  },
  'POST :asymmetricSign'(google, name, body) {
    const key = google.keys.get(name);
    if (!key) return problem(404, 'NOT_FOUND');
    if (key.enabled === false) return disabled;
    const { digest, digestCrc32c } = body as { digest?: { sha256?: string }; digestCrc32c?: string };
    const sha256 = Buffer.from(digest?.sha256 ?? '', 'base64');
    if (sha256.length !== 32 || digestCrc32c !== String(crc32c(sha256))) return problem(400, 'INVALID_ARGUMENT');
    const signature = joseToDer(signDigest(sha256, key.privateKey), 'ES256');
    const signatureCrc32c = checksum(google, signature);
    google.signatures += 1;
    return [
      200,
      {
        name,
        signature: signature.toString('base64'),
        signatureCrc32c,
        verifiedDigestCrc32c: true,
        protectionLevel: 1,
      },
    ];
  },
  'GET :access'(google, name) {
    const data = google.secrets.get(name);
    if (data === undefined) return problem(404, 'NOT_FOUND');
    const payload = { data: Buffer.from(data).toString('base64'), dataCrc32c: checksum(google, data) };
    return [200, { name, payload }];
  },
};
const checksum = (google: Google, data: string | Buffer) =>
  String(google.damage ? 1 : crc32c(typeof data === 'string' ? Buffer.from(data) : data));

const faults: Readonly<Record<VendorFault, Answer>> = {
  denied: problem(403, 'PERMISSION_DENIED'),
  throttled: problem(429, 'RESOURCE_EXHAUSTED', 'Quota exceeded.', [
    { '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: `${RETRY_AFTER_SECONDS}s` },
  ]),
  broken: problem(500, 'INTERNAL'),
  malformed: [200, { name: 'another' }],
  expired: problem(401, 'UNAUTHENTICATED'),
};
