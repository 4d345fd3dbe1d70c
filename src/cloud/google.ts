/**
 * What Cloud KMS and Secret Manager share: client settings, checksums and the classification of errors. Credentials are
 * Application Default Credentials, which Google's own library finds.
 */

import { WebdistError } from '../errors.ts';
import { isUnreadable, type Refusal, unreadable } from './refusal.ts';

/** For one call. The caller retries, as it knows how many other requests wait. */
export const googleCallOptions = { timeout: 5000, retry: null };

/**
 * Settings for any Google client: REST, which unlike gRPC needs no native or HTTP/2 parts. `override` is the value of
 * gcloud's variable CLOUDSDK_API_ENDPOINT_OVERRIDES_… for the service: an https URL, such as a private or regional
 * endpoint (http only on loopback). Throws `config_invalid`.
 */
export function googleClientSettings(override: string | undefined) {
  if (override === undefined || override === '') return { fallback: true } as const;
  const url = URL.canParse(override) ? new URL(override) : undefined;
  const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(url?.hostname ?? '');
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && loopback)) || url.pathname !== '/')
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

/** True if the service sent no checksum, or the right one. A protobuf Int64Value arrives as a string. */
export function matchesCrc32c(data: Uint8Array, checksum: unknown): boolean {
  const sent = typeof checksum === 'object' && checksum !== null && 'value' in checksum ? checksum.value : checksum;
  return sent === undefined || sent === null || Number(sent) === crc32c(data);
}

/** The response was changed on the way; a retry may help. */
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
  const code = rpcCode(error);
  if (code === 8) {
    const delay = Array.from(error.statusDetails ?? []).find((detail) => detail.retryDelay)?.retryDelay?.seconds;
    const seconds = Number(delay ?? /"retryDelay":\s*"(\d+)/.exec(error.message ?? '')?.[1]);
    return { kind: 'throttled', ...(seconds > 0 && { retryAfterSeconds: seconds }) };
  }
  if (/default credentials/i.test(error.message ?? '')) return noCredentials;
  // The endpoint that exchanges credentials for an access token returns 400 or 401 with an OAuth error.
  if (/invalid_grant|invalid_client|unauthorized_client/.test(error.message ?? '')) return badCredentials;
  if (code === 9) return /disabled|destroy/i.test(error.message ?? '') ? gone : otherState;
  return codes[code] ?? (isUnreadable(thrown) ? unreadable : { kind: 'unreachable' });
}

/** The google.rpc.Code. Some errors come from the HTTP client: an HTTP status, and the response's JSON as message. */
function rpcCode({ code, message = '' }: GoogleError): number {
  const status = /"status":\s*"([A-Z_]+)"/.exec(message)?.[1];
  return (Number(code) >= 400 && status && rpcCodes[status]) || Number(code);
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
  hint: 'Enable this version, or name another one.',
};
const otherState: Refusal = { kind: 'unreachable', why: 'cannot be used in its current state.' };

const codes: Readonly<Record<number, Refusal>> = {
  3: { kind: 'invalid', why: 'is of another kind, or has a name that Google does not accept.' },
  5: { kind: 'absent' },
  7: { kind: 'denied' },
  16: badCredentials,
};
