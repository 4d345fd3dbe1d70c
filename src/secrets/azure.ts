/**
 * Azure Key Vault secrets: `azuresecrets://VAULT/SECRET[/VERSION]`. VAULT is a vault's name, or its full host in another
 * cloud. Example: `azuresecrets://shop-vault/webdist-key`.
 * Permission: secrets/get, e.g. the role Key Vault Secrets User on the secret. See docs/keys/azure-secrets.md.
 */

import type { KeyVaultSecret } from '@azure/keyvault-secrets';
import {
  azureCallSettings,
  azureClientSettings,
  azureRefusal,
  loadAzureCredential,
  parseVaultEntry,
  type VaultEntry,
} from '../cloud/azure.ts';
import { refused, withRefusals } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import type { SecretSource } from './secret-source.ts';

/** The one call of the SDK that is used. */
type Secrets = { get(): Promise<KeyVaultSecret> };

/**
 * Opens an `azuresecrets:` locator. Without a version, each read fetches the current one. Each read uses the
 * credentials that are then in the environment. Throws `config_invalid`.
 */
export async function openAzureSecret(locator: string, env: Environment): Promise<SecretSource> {
  const entry = parseVaultEntry(locator, 'azuresecrets');
  const thing = `The Azure Key Vault secret ${entry.title}`;
  const { connect, close } = await loadClient(entry, env);
  return {
    backend: 'azuresecrets',
    read: () =>
      withRefusals(thing, azureRefusal, async () => {
        const { value } = await connect().get();
        if (!value) throw refused(thing, { kind: 'absent', why: 'is empty.' });
        return value;
      }),
    close: async () => close(),
  };
}

async function loadClient({ vaultUrl, name, version }: VaultEntry, env: Environment) {
  const sdk = await loadSdk(
    '@azure/keyvault-secrets',
    'A locator azuresecrets:',
    () => import('@azure/keyvault-secrets'),
  );
  const newCredential = await loadAzureCredential('A locator azuresecrets:');
  const { settings, close } = azureClientSettings(env);
  const connect = (): Secrets => {
    const client = new sdk.SecretClient(vaultUrl, newCredential(settings), settings);
    return { get: () => client.getSecret(name, { ...azureCallSettings(), ...(version !== undefined && { version }) }) };
  };
  return { connect, close };
}
