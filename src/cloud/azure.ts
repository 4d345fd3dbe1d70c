/**
 * Shared by Key Vault keys and Key Vault secrets: the vault's URL, client settings, credentials (those of
 * DefaultAzureCredential) and the classification of errors.
 */

import { Agent } from 'node:https';
import type { DefaultAzureCredentialOptions, TokenCredential } from '@azure/identity';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import { connectionRefusal, foreign, type Refusal } from './refusal.ts';
import { loadSdk } from './sdk.ts';
import { httpStatus, responseHeader } from './vendor-error.ts';

/**
 * Settings for any Azure client and its credential. The caller retries, because the SDK would wait for a Retry-After
 * while other requests queue behind it. `close` closes the idle connections.
 */
export function azureClientSettings(env: Environment) {
  const agent = new Agent({ keepAlive: true, proxyEnv: env });
  // The SDK's own proxy client would report a proxy's refusal as a response of Azure.
  const policy: PipelinePolicy = {
    name: 'webdistProxy',
    sendRequest(request, next) {
      if (request.url.startsWith('https:')) request.agent = agent;
      return next(request);
    },
  };
  return {
    settings: { retryOptions: { maxRetries: 0 }, additionalPolicies: [{ policy, position: 'perCall' as const }] },
    close: () => agent.destroy(),
  };
}

type PipelinePolicy = NonNullable<DefaultAzureCredentialOptions['additionalPolicies']>[number]['policy'];
type AzureSettings = ReturnType<typeof azureClientSettings>['settings'];

/** For one call. The SDK's own timeout covers only the headers of a response. This signal also covers the body. */
export const azureCallSettings = () => ({ abortSignal: AbortSignal.timeout(ANSWER_TIMEOUT_MS) });

const ANSWER_TIMEOUT_MS = 5000;

/** The parts of `azurekms://VAULT/NAME[/VERSION]` and `azuresecrets://…`. */
export type VaultEntry = {
  readonly vaultUrl: string;
  /** The vault's host and the entry's name, for messages. */
  readonly title: string;
  readonly name: string;
  readonly version: string | undefined;
};

/** Parses a locator of this scheme. VAULT is a name, or the full host in another cloud. Throws `config_invalid`. */
export function parseVaultEntry(locator: string, scheme: string): VaultEntry {
  const form = /^[a-z]+:\/\/([A-Za-z0-9][A-Za-z0-9.-]*)\/([A-Za-z0-9-]{1,127})(?:\/([A-Za-z0-9]{1,64}))?$/;
  const [, vault, name, version] = form.exec(locator) ?? [];
  if (vault === undefined || name === undefined)
    throw new WebdistError('config_invalid', `An Azure Key Vault locator is ${scheme}://VAULT/NAME[/VERSION].`);
  const host = vault.includes('.') ? vault : `${vault}.vault.azure.net`;
  return { vaultUrl: `https://${host}`, title: `${host}/${name}`, name, version };
}

/** Returns the function that makes Azure's default credential chain. Throws `config_invalid` when the package is missing. */
export async function loadAzureCredential(neededBy: string): Promise<(settings: AzureSettings) => TokenCredential> {
  const { DefaultAzureCredential } = await loadSdk('@azure/identity', neededBy, () => import('@azure/identity'));
  return ({ additionalPolicies }) => new DefaultAzureCredential({ additionalPolicies });
}

/** The parts of a RestError, or of an error of `@azure/identity`, that are read. */
type AzureError = {
  readonly name?: string;
  readonly code?: string;
  readonly message?: string;
  /** The response of Key Vault, which names its reason in an inner error. */
  readonly details?: { readonly error?: { readonly innererror?: InnerError; readonly innerError?: InnerError } };
};
type InnerError = { readonly code?: string };

/** Classifies what a client threw, by the statuses of the Key Vault REST API reference. */
export function azureRefusal(thrown: unknown): Refusal {
  const error = thrown as AzureError;
  const entra = Number(/\bAADSTS(\d+)\b/.exec(error.message ?? '')?.[1]);
  if (entra > 0) return entraCodes[entra] ?? badCredentials;
  if (withoutCredentials.includes(error.name ?? '')) return noCredentials;
  const status = httpStatus(thrown);
  if (error.name === 'AuthenticationError') return signInFailed(thrown, status);
  if (status !== undefined && status < 500 && status !== 200 && !isFromKeyVault(thrown))
    return foreign('Azure', status);
  if (status === 429) {
    const seconds = Number(responseHeader(thrown, 'retry-after'));
    return { kind: 'throttled', ...(seconds > 0 && { retryAfterSeconds: seconds }) };
  }
  const refusal = status === 403 ? forbidden.get(innerCode(error)) : undefined;
  return refusal ?? statuses[status ?? 0] ?? connectionRefusal(thrown, 'Azure', AUTHORITIES);
}

const innerCode = ({ details }: AzureError) => (details?.error?.innererror ?? details?.error?.innerError)?.code ?? '';

const AUTHORITIES = 'Set NODE_EXTRA_CA_CERTS to the PEM file of its authority.';

/** Microsoft Entra ID names its reason (AADSTS…). A response without a reason is not from Entra ID. */
const signInFailed = (thrown: unknown, status: number | undefined): Refusal =>
  status === undefined ? connectionRefusal(thrown, 'Azure', AUTHORITIES) : foreign('Microsoft Entra ID', status);

/** Key Vault's own responses have a request id, and its errors have one of these codes. */
const isFromKeyVault = (thrown: unknown) =>
  responseHeader(thrown, 'x-ms-request-id') !== undefined || keyVaultCodes.includes((thrown as AzureError).code ?? '');

const keyVaultCodes = [
  'KeyNotFound',
  'SecretNotFound',
  'Forbidden',
  'Unauthorized',
  'BadParameter',
  'Throttled',
  'NotFound',
];

const withoutCredentials = [
  'CredentialUnavailableError',
  'AggregateAuthenticationError',
  'AuthenticationRequiredError',
];
const noCredentials: Refusal = {
  kind: 'unreachable',
  why: 'cannot be used: no Azure credentials were found.',
  hint: 'Give the process a managed identity, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET.',
};
const badCredentials: Refusal = {
  kind: 'denied',
  why: 'cannot be used: Azure does not accept the credentials.',
  hint: 'Check that they are current and belong to the vault’s tenant.',
};

/** Not `denied`: credentials expire by themselves, so no one took the key away. */
const expired: Refusal = {
  kind: 'unreachable',
  why: 'cannot be used: the Azure credentials have expired.',
  hint: 'Create a new client secret or certificate for the application, or give the process a managed identity.',
};

/** https://learn.microsoft.com/entra/identity-platform/reference-error-codes */
const entraCodes: Readonly<Record<number, Refusal>> = {
  700082: expired,
  7000222: expired,
  700024: expired,
  90033: { kind: 'unreachable', why: 'cannot be reached: Microsoft Entra ID is not available.' },
};

const disabled: Refusal = { kind: 'denied', why: 'is disabled.', hint: 'Enable it, or use another version.' };
const byNetwork: Refusal = {
  kind: 'denied',
  why: 'may not be used from this network: the firewall of the vault refuses.',
  hint: 'Allow this network in the vault, or use its private endpoint.',
};
const byPermission: Refusal = {
  kind: 'denied',
  why: 'may not be used with the credentials found.',
  hint: 'Give them the permissions that docs/keys lists; a new role assignment takes some minutes.',
};

/** https://learn.microsoft.com/azure/key-vault/general/rest-error-codes, the inner codes of a 403. */
const forbidden: ReadonlyMap<string, Refusal> = new Map(
  Object.entries({
    KeyDisabled: disabled,
    SecretDisabled: disabled,
    ForbiddenByFirewall: byNetwork,
    ForbiddenByConnection: byNetwork,
    ForbiddenByPolicy: byPermission,
    ForbiddenByRbac: byPermission,
    AccessDenied: byPermission,
  }),
);

const statuses: Readonly<Record<number, Refusal>> = {
  400: { kind: 'invalid', why: 'is of another kind, or has a name that Azure does not accept.' },
  401: badCredentials,
  403: { kind: 'denied', why: 'is disabled, or may not be used with the credentials found, or not from this network.' },
  404: { kind: 'absent' },
};
