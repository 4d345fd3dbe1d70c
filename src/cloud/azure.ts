/**
 * What Key Vault keys and Key Vault secrets share: the vault's URL, client settings, credentials (those of
 * DefaultAzureCredential) and the classification of errors.
 */

import type { TokenCredential } from '@azure/identity';
import { WebdistError } from '../errors.ts';
import { isUnreadable, type Refusal, unreadable } from './refusal.ts';
import { loadSdk } from './sdk.ts';

/** The caller retries: the SDK would wait for a Retry-After while other requests queue behind it. */
export const azureClientSettings = { retryOptions: { maxRetries: 0 } };

/** For one call. */
export const azureCallSettings = { requestOptions: { timeout: 5000 } };

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

/** The default credential chain of Azure's SDK. Throws `config_invalid` when the package is missing. */
export async function azureCredential(scheme: string): Promise<TokenCredential> {
  const { DefaultAzureCredential } = await loadSdk('@azure/identity', scheme, () => import('@azure/identity'));
  return new DefaultAzureCredential();
}

/** The parts of a RestError, or of an error of `@azure/identity`, that are read. */
type AzureError = {
  readonly name?: string;
  readonly statusCode?: number;
  readonly response?: { readonly headers?: { get(name: string): string | undefined } };
};

/** Classifies what a client threw, by the statuses of the Key Vault REST API reference. */
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
  hint: 'Check that they are current and belong to the vault’s tenant.',
};

const statuses: Readonly<Record<number, Refusal>> = {
  400: { kind: 'invalid', why: 'is of another kind, or has a name that Azure does not accept.' },
  401: badCredentials,
  403: { kind: 'denied', why: 'is disabled, or may not be used with the credentials found, or not from this network.' },
  404: { kind: 'absent' },
};
