/**
 * Shared by AWS KMS and AWS Secrets Manager: client settings and the classification of errors. The SDK itself reads the
 * usual variables and files (credentials, AWS_PROFILE, AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_KMS …).
 */

import { Agent } from 'node:https';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { MAX_CERTIFICATES_BYTES, readSmallFile } from './files.ts';
import { connectionRefusal, foreign, type Refusal } from './refusal.ts';
import { httpStatus, responseHeader } from './vendor-error.ts';

/** The caller retries, because the SDK would wait for a Retry-After while other requests queue behind it. */
const MAX_ATTEMPTS = 1;
const CONNECT_TIMEOUT_MS = 2000;
const ANSWER_TIMEOUT_MS = 5000;

/**
 * Settings for any AWS client. The region of an ARN takes precedence over AWS_REGION and AWS_DEFAULT_REGION; without any
 * of them the SDK reads the shared config file.
 */
export async function awsClientSettings(nameOrArn: string, env: Environment) {
  const region = /^arn:[^:]+:[^:]+:([^:]+):/.exec(nameOrArn)?.[1] || env['AWS_REGION'] || env['AWS_DEFAULT_REGION'];
  const ca = await readAuthorities(env['AWS_CA_BUNDLE']);
  return {
    maxAttempts: MAX_ATTEMPTS,
    // Reads the shared config and credentials files again; otherwise a corrected file has no effect until a restart.
    ignoreCache: true,
    requestHandler: {
      // The SDK itself knows no proxy.
      httpsAgent: new Agent({ keepAlive: true, proxyEnv: env, ...(ca && { ca }) }),
      connectionTimeout: CONNECT_TIMEOUT_MS,
      requestTimeout: ANSWER_TIMEOUT_MS,
      // This limit also applies to a response whose body stops arriving.
      socketTimeout: ANSWER_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
    ...(region && { region }),
  };
}

/** The PEM file of AWS_CA_BUNDLE, as in AWS's own tools. Throws `config_invalid`. */
async function readAuthorities(path: string | undefined): Promise<Buffer | undefined> {
  if (!path) return undefined;
  try {
    return await readSmallFile(path, MAX_CERTIFICATES_BYTES);
  } catch (cause) {
    throw new WebdistError('config_invalid', `AWS_CA_BUNDLE: the file ${path} cannot be read.`, { cause });
  }
}

/** The parts of an SDK error (`ServiceException` of smithy) that are read. */
type AwsError = {
  readonly name?: string;
  readonly message?: string;
  readonly $retryable?: { readonly throttling?: boolean };
};

/** Classifies what a client threw, by the error names of the KMS and Secrets Manager API references ("Errors"). */
export function awsRefusal(thrown: unknown): Refusal {
  const error = thrown as AwsError;
  const status = httpStatus(thrown);
  if (status !== undefined && !isFromAws(thrown))
    return status < 500 && status !== 200 ? foreign('AWS', status) : down(thrown);
  const named = isStoreDown(error) ? undefined : names[error.name ?? ''];
  if (named && named.kind !== 'throttled') return named;
  if (named || error.$retryable?.throttling || status === 429) {
    const seconds = Number(responseHeader(thrown, 'retry-after'));
    return { kind: 'throttled', ...(seconds > 0 && { retryAfterSeconds: seconds }) };
  }
  if (/^Region (is missing|not accepted)/.test(error.message ?? '')) return noRegion;
  return down(thrown);
}

const down = (thrown: unknown) =>
  connectionRefusal(thrown, 'AWS', 'Set AWS_CA_BUNDLE or NODE_EXTRA_CA_CERTS to the PEM file of its authority.');

/** Every response of AWS has a request id; every error of its JSON protocols has their content type. */
const isFromAws = (thrown: unknown) =>
  responseHeader(thrown, 'x-amzn-requestid') !== undefined ||
  /^application\/x-amz-json-1\.[01]/.test(responseHeader(thrown, 'content-type') ?? '');

/**
 * If a custom key store is disconnected, AWS uses the same error as for keys that are pending deletion; its message
 * says "unavailable".
 */
const isStoreDown = ({ name, message }: AwsError) =>
  name === 'KMSInvalidStateException' && !/pending/i.test(message ?? '');

const noRegion: Refusal = { kind: 'unreachable', why: 'needs a region.', hint: 'Set AWS_REGION, or use an ARN.' };
const absent: Refusal = { kind: 'absent' };
const denied: Refusal = { kind: 'denied' };
const throttled: Refusal = { kind: 'throttled' };
const notForSigning: Refusal = { kind: 'invalid' };
const badName: Refusal = { kind: 'absent', why: 'has a name that AWS does not accept.', hint: 'Check the locator.' };
const badCredentials: Refusal = {
  kind: 'denied',
  why: 'cannot be used: AWS does not accept the credentials.',
  hint: 'Check that they are current and of the right account, and that the clock is right.',
};

/** Not `denied`: credentials expire by themselves, so no one took the key away. */
const expired: Refusal = {
  kind: 'unreachable',
  why: 'cannot be used: the AWS credentials have expired.',
  hint: 'Renew them, or give the process a role.',
};

const names: Readonly<Record<string, Refusal>> = {
  NotFoundException: absent,
  ResourceNotFoundException: absent,
  InvalidArnException: badName,
  ValidationException: badName,
  KMSInvalidStateException: { kind: 'absent', why: 'is pending deletion or import.' },
  InvalidRequestException: {
    kind: 'absent',
    why: 'cannot be read in its current state, for example pending deletion.',
  },
  AccessDeniedException: denied,
  DisabledException: { kind: 'denied', why: 'is disabled.', hint: 'Enable it, or use another key.' },
  DecryptionFailure: { kind: 'denied', why: 'cannot be decrypted with its KMS key.', hint: 'Allow kms:Decrypt on it.' },
  UnrecognizedClientException: badCredentials,
  InvalidClientTokenId: badCredentials,
  InvalidSignatureException: badCredentials,
  SignatureDoesNotMatch: badCredentials,
  IncompleteSignature: badCredentials,
  IncompleteSignatureException: badCredentials,
  MissingAuthenticationTokenException: badCredentials,
  ExpiredTokenException: expired,
  ExpiredToken: expired,
  TokenProviderError: expired,
  CredentialsProviderError: {
    kind: 'unreachable',
    why: 'cannot be used: no AWS credentials were found.',
    hint: 'Give the process a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.',
  },
  InvalidKeyUsageException: notForSigning,
  UnsupportedOperationException: notForSigning,
  ThrottlingException: throttled,
  Throttling: throttled,
  TooManyRequestsException: throttled,
  LimitExceededException: throttled,
  RequestLimitExceeded: throttled,
};
