/**
 * What Key Vault keys and Key Vault secrets have in common: the vault's address, client settings, credentials, and how
 * their errors are told apart. Credentials are those of DefaultAzureCredential.
 */

import type { TokenCredential } from '@azure/identity';
import { WebdistError } from '../errors.ts';
import { isUnreadable, type Refusal, unreadable } from './refusal.ts';
import { loadSdk } from './sdk.ts';

/** Trying again is left to the caller: the SDK would wait out a Retry-After while others queue behind it. */
export const azureClientSettings = { retryOptions: { maxRetries: 0 } };

/** For one call. */
export const azureCallSettings = { requestOptions: { timeout: 5000 } };

/** Parts of `azurekms://VAULT/NAME[/VERSION]` and `azuresecrets://…`. */
export type VaultEntry = { readonly vaultUrl: string; readonly name: string; readonly version: string | undefined };

/** Takes a locator and its scheme. VAULT is a name, or a full host for other clouds. Throws `config_invalid`. */
export function parseVaultEntry(locator: string, scheme: string): VaultEntry {
  const form = /^[a-z]+:\/\/([A-Za-z0-9][A-Za-z0-9.-]*)\/([A-Za-z0-9-]{1,127})(?:\/([A-Za-z0-9]{1,64}))?$/;
  const [, vault, name, version] = form.exec(locator) ?? [];
  if (vault === undefined || name === undefined)
    throw new WebdistError('config_invalid', `An Azure Key Vault locator is ${scheme}://VAULT/NAME[/VERSION].`);
  return { vaultUrl: `https://${vault.includes('.') ? vault : `${vault}.vault.azure.net`}`, name, version };
}

/** The default credential chain of Azure's SDK. Throws `config_invalid` when the package is missing. */
export async function azureCredential(scheme: string): Promise<TokenCredential> {
  const { DefaultAzureCredential } = await loadSdk('@azure/identity', scheme, () => import('@azure/identity'));
  return new DefaultAzureCredential();
}

/** The parts of a RestError, or of an error of `@azure/identity`, that are looked at. */
type AzureError = {
  readonly name?: string;
  readonly statusCode?: number;
  readonly response?: { readonly headers?: { get(name: string): string | undefined } };
};

/** Takes what a client threw; statuses are those of the Key Vault REST API reference. */
export function azureRefusal(thrown: unknown): Refusal {
  const error = thrown as AzureError;
  if (withoutCredentials.includes(error.name ?? '')) return noCredentials;
  if (error.name === 'AuthenticationError')
    return (error.statusCode ?? 0) >= 500 ? { kind: 'unreachable' } : badCredentials;
  if (error.statusCode === 429) {
    const seconds = Number(error.response?.headers?.get('retry-after'));
    return { kind: 'throttled', ...(seconds > 0 && { retryAfterSeconds: seconds }) };
  }
  return statuses[error.statusCode ?? 0] ?? (isUnreadable(thrown) ? unreadable : { kind: 'unreachable' });
}

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
  hint: 'Check that they are current and of the vault’s tenant.',
};

const statuses: Readonly<Record<number, Refusal>> = {
  400: { kind: 'invalid', why: 'is of another kind or has no name Azure accepts.' },
  401: badCredentials,
  403: { kind: 'denied', why: 'is disabled, or may not be used with the credentials found or from this network.' },
  404: { kind: 'absent' },
};
