/**
 * Azure Key Vault secrets: `azuresecrets://VAULT/SECRET[/VERSION]`, VAULT being a vault's name, or its full host in
 * another cloud. Example: `azuresecrets://shop-vault/webdist-key`.
 * Needed: secrets/get, e.g. the role Key Vault Secrets User on the secret. See docs/keys/azure-secrets.md.
 */

import type { KeyVaultSecret } from '@azure/keyvault-secrets';
import {
  azureCallSettings,
  azureClientSettings,
  azureCredential,
  azureRefusal,
  parseVaultEntry,
  type VaultEntry,
} from '../cloud/azure.ts';
import { refused } from '../cloud/refusal.ts';
import { loadSdk } from '../cloud/sdk.ts';
import type { Environment } from '../environment.ts';
import { WebdistError } from '../errors.ts';
import type { SecretSource } from './secret-source.ts';

/** The one operation used. */
type Secrets = { get(): Promise<KeyVaultSecret> };

/** Opens an `azuresecrets:` locator; without a version each reading asks for the current one. Throws `config_invalid`. */
export async function openAzureSecret(locator: string, _env: Environment): Promise<SecretSource> {
  const entry = parseVaultEntry(locator, 'azuresecrets');
  const thing = `The Azure Key Vault secret ${new URL(entry.vaultUrl).host}/${entry.name}`;
  const secrets = await connect(entry);
  return {
    backend: 'azuresecrets',
    async read() {
      try {
        const { value } = await secrets.get();
        if (!value) throw refused(thing, { kind: 'absent', why: 'is empty.' });
        return value;
      } catch (cause) {
        throw cause instanceof WebdistError ? cause : refused(thing, azureRefusal(cause), cause);
      }
    },
    async close() {
      // The SDK's client has nothing to let go of.
    },
  };
}

async function connect({ vaultUrl, name, version }: VaultEntry): Promise<Secrets> {
  const sdk = await loadSdk('@azure/keyvault-secrets', 'azuresecrets', () => import('@azure/keyvault-secrets'));
  const client = new sdk.SecretClient(vaultUrl, await azureCredential('azuresecrets'), azureClientSettings);
  return { get: () => client.getSecret(name, { ...azureCallSettings, ...(version !== undefined && { version }) }) };
}
