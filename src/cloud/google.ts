/**
 * Shared by Cloud KMS and Secret Manager: client settings, checksums and the classification of errors. Credentials are
 * Application Default Credentials, which Google's own library finds.
 */

import { createPrivateKey } from 'node:crypto';
import { Agent } from 'node:https';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { isLoopback } from '../host.ts';
import { connectionRefusal, foreign, type Refusal, refused } from './refusal.ts';
import { member } from './vendor-error.ts';

/** For one call. The caller retries, because it knows how many other requests wait. */
export const googleCallOptions = { timeout: 5000, retry: null };

/**
 * Settings for any Google client. It uses REST, which unlike gRPC needs no native or HTTP/2 parts. `override` is the
 * value of gcloud's variable CLOUDSDK_API_ENDPOINT_OVERRIDES_… for the service: an https URL (http only on loopback),
 * such as a private or regional endpoint. `usual` is the endpoint without an override, if it is not the service's
 * global one. Throws `config_invalid`.
 */
export function googleClientSettings(override: string | undefined, usual?: string) {
  const endpoint = override || usual;
  if (endpoint === undefined) return { fallback: true } as const;
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const isAllowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && isLoopback(url.hostname));
  if (!url || !isAllowed || url.pathname !== '/')
    throw new WebdistError('config_invalid', 'CLOUDSDK_API_ENDPOINT_OVERRIDES_… must be https://HOST/.');
  const protocol = url.protocol.slice(0, -1);
  return {
    fallback: true,
    apiEndpoint: url.hostname,
    protocol,
    port: Number(url.port) || (protocol === 'http' ? 80 : 443),
  } as const;
}

/** CRC32C (RFC 3720 §12.1), which Google's services send and ask clients to compare. */
export function crc32c(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** True if the service sent no checksum, or a correct one. A protobuf Int64Value arrives as a string. */
export function matchesCrc32c(data: Uint8Array, checksum: unknown): boolean {
  const sent = typeof checksum === 'object' && checksum !== null && 'value' in checksum ? checksum.value : checksum;
  return sent === undefined || sent === null || Number(sent) === crc32c(data);
}

/** The response was changed in transit. A retry may help. */
export const damaged: Refusal = { kind: 'unreachable', why: 'returned a response with a wrong CRC32C checksum.' };

/** The parts of a GoogleError, or of an error of its HTTP client, that are read. */
type GoogleError = {
  readonly code?: number | string;
  readonly message?: string;
  readonly statusDetails?: readonly { readonly retryDelay?: { readonly seconds?: number | string } }[];
};

/** Classifies what a client threw, by google.rpc.Code, which both services return. */
export function googleRefusal(thrown: unknown): Refusal {
  const error = thrown as GoogleError;
  const message = error.message ?? '';
  const status = Number(error.code) >= 400 ? Number(error.code) : undefined;
  const code = status === undefined ? Number(error.code) : rpcCodeIn(message, status);
  if (code === 8) {
    const delay = Array.from(error.statusDetails ?? []).find((detail) => detail.retryDelay)?.retryDelay?.seconds;
    const seconds = Number(delay ?? /"retryDelay":\s*"(\d+)/.exec(message)?.[1]);
    return { kind: 'throttled', ...(seconds > 0 && { retryAfterSeconds: seconds }) };
  }
  if (/default credentials/i.test(message)) return noCredentials;
  // The endpoint that exchanges credentials for an access token returns 400 or 401 with an OAuth error.
  if (/"?(invalid_grant|invalid_client|unauthorized_client)\b/.test(message)) return badCredentials;
  if (code === 9) return /disabled|destroy/i.test(message) ? gone : otherState;
  if (code !== undefined && codes[code]) return codes[code];
  if (status !== undefined && status < 500) return foreign('Google', status);
  return connectionRefusal(thrown, 'Google', 'Set NODE_EXTRA_CA_CERTS to the PEM file of its authority.');
}

/**
 * The google.rpc.Code of an HTTP error, whose message is the body; undefined unless the body is an error of Google's APIs
 * with this status (https://cloud.google.com/apis/design/errors#http_mapping).
 */
function rpcCodeIn(body: string, status: number): number | undefined {
  try {
    const error = member(JSON.parse(body), 'error');
    return member(error, 'code') === status ? rpcCodes[String(member(error, 'status'))] : undefined;
  } catch {
    return undefined; // Not JSON, so not an error of Google's APIs.
  }
}

/**
 * Finds the credentials of a client before its first use. Otherwise the client would search for them in the background,
 * where a failure is an unhandled rejection, and once more when it is closed. Also sends the client's https requests
 * through the proxy of the environment, which Google's library ignores. Throws `key_unreachable` when there are no
 * credentials, or they cannot be read.
 */
export async function prepareGoogleClient(thing: string, client: GoogleClient, env: Environment): Promise<void> {
  try {
    const { transporter, key } = await client.auth.getClient();
    // With a damaged key, the library would never answer.
    if (key) createPrivateKey(key);
    const agent = new Agent({ keepAlive: true, proxyEnv: env });
    transporter.interceptors.request.add({
      resolved: async (request) => (request.url.protocol === 'https:' ? { ...request, agent } : request),
    });
  } catch (cause) {
    throw refused(thing, credentialsRefusal(cause), cause);
  }
}

/** A generated client; `auth` belongs to its public interface. */
type GoogleClient = { readonly auth: { getClient(): Promise<Credentials> } };
type Credentials = {
  readonly transporter: Transporter;
  /** The private key of a service account, in PEM. */
  readonly key?: string;
};
type Transporter = {
  readonly interceptors: {
    readonly request: { add(interceptor: { resolved<T extends { url: URL }>(request: T): Promise<T> }): unknown };
  };
};

function credentialsRefusal(thrown: unknown): Refusal {
  const { code, message = '' } = thrown as GoogleError;
  if (/default credentials/i.test(message)) return noCredentials;
  const why = code === 'ENOENT' || /does not exist/.test(message) ? 'do not exist' : 'are damaged';
  return {
    kind: 'unreachable',
    why: `cannot be used: the Google credentials that GOOGLE_APPLICATION_CREDENTIALS names ${why}.`,
    hint: 'Set it to the JSON file of a service account or of workload identity federation.',
  };
}

const rpcCodes: Readonly<Record<string, number>> = {
  INVALID_ARGUMENT: 3,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNAUTHENTICATED: 16,
};

const noCredentials: Refusal = {
  kind: 'unreachable',
  why: 'cannot be used: no Google credentials were found.',
  hint: 'Run as a service account, or set GOOGLE_APPLICATION_CREDENTIALS.',
};
const badCredentials: Refusal = {
  kind: 'denied',
  why: 'cannot be used: Google does not accept the credentials.',
  hint: 'Check that they are current and that the clock is right.',
};

const gone: Refusal = {
  kind: 'absent',
  why: 'is disabled or destroyed.',
  hint: 'Enable this version, or use another one.',
};
const otherState: Refusal = { kind: 'unreachable', why: 'cannot be used in its current state.' };

const codes: Readonly<Record<number, Refusal>> = {
  3: { kind: 'invalid', why: 'is of another kind, or has a name that Google does not accept.' },
  5: { kind: 'absent' },
  7: { kind: 'denied' },
  16: badCredentials,
};
