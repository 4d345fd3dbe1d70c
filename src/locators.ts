/**
 * Locators: URIs that name a key or a secret (docs/keys/README.md). The scheme selects the backend: one file, and one
 * row in the table below. A backend and its SDK are loaded when one of its locators is opened.
 */

import type { KeyObject } from 'node:crypto';
import { CALL_LIMIT_MS, callBackend, closeBackend } from './cloud/boundary.ts';
import { requireInstalled } from './cloud/sdk.ts';
import type { Environment } from './environment.ts';
import { hasCode, WebdistError } from './errors.ts';
import type { Signer } from './jws.ts';
import type { SecretSource } from './secrets/secret-source.ts';
import type { GuardedSigner } from './signer/guarded.ts';

type Backend = {
  /** Matches the form of a locator, for settings. Opening a locator checks its details. */
  readonly form: RegExp;
  /** The form in words, for messages. */
  readonly example: string;
  /** The npm packages that it loads, which are installed on request: `peerDependencies` in package.json. */
  readonly packages?: readonly string[];
};

/** A backend whose secret is read into this process and used here. */
type SecretBackend = Backend & {
  readonly purpose: 'secret';
  /** Loads the opener, which throws `config_invalid` for a malformed locator. It reads nothing yet. */
  readonly opener: () => Promise<(locator: string, env: Environment) => Promise<SecretSource> | SecretSource>;
};

/** A backend that keeps its private key and signs with it. */
type SignerBackend = Backend & {
  readonly purpose: 'signer';
  /**
   * Loads the opener. If a locator covers several keys or versions, it opens the one whose public
   * half is `registered`. It throws `config_invalid`, `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or,
   * if the backend throttles, `signer_unavailable`.
   */
  readonly opener: () => Promise<(locator: string, env: Environment, registered?: KeyObject) => Promise<Signer>>;
  /** Loads the function that creates a key and returns its locator. Absent if `webdist keygen` cannot create one. */
  readonly creator?: () => Promise<(locator: string, env: Environment) => Promise<string>>;
};

const backends = {
  env: {
    purpose: 'secret',
    form: /^env:\/\/./,
    example: 'env://NAME',
    opener: async () => (await import('./secrets/env.ts')).openEnv,
  },
  file: {
    purpose: 'secret',
    form: /^file:\/\/\/./,
    example: 'file:///path',
    opener: async () => (await import('./secrets/file.ts')).openFile,
  },
  'vault+kv': {
    purpose: 'secret',
    form: /^vault\+kv:\/\/.+#./,
    example: 'vault+kv://MOUNT/PATH#FIELD',
    opener: async () => (await import('./secrets/vault-kv.ts')).openVaultKv,
  },
  hashivault: {
    purpose: 'signer',
    form: /^hashivault:\/\/./,
    example: 'hashivault://KEY',
    opener: async () => (await import('./signer/vault-transit.ts')).openVaultTransit,
    creator: async () => (await import('./signer/vault-transit.ts')).createVaultTransit,
  },
  awssecrets: {
    purpose: 'secret',
    form: /^awssecrets:\/\/./,
    example: 'awssecrets://NAME_OR_ARN',
    packages: ['@aws-sdk/client-secrets-manager'],
    opener: async () => (await import('./secrets/aws.ts')).openAwsSecret,
  },
  awskms: {
    purpose: 'signer',
    form: /^awskms:\/\/[^/]*\/./,
    example: 'awskms:///KEY_ID_OR_ARN',
    packages: ['@aws-sdk/client-kms'],
    opener: async () => (await import('./signer/aws-kms.ts')).openAwsKms,
    creator: async () => (await import('./signer/aws-kms.ts')).createAwsKms,
  },
  gcpsecrets: {
    purpose: 'secret',
    form: /^gcpsecrets:\/\/projects\/./,
    example: 'gcpsecrets://projects/P/secrets/S/versions/V',
    packages: ['@google-cloud/secret-manager'],
    opener: async () => (await import('./secrets/google.ts')).openGoogleSecret,
  },
  gcpkms: {
    purpose: 'signer',
    form: /^gcpkms:\/\/projects\/./,
    example: 'gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V',
    packages: ['@google-cloud/kms'],
    opener: async () => (await import('./signer/google-kms.ts')).openGoogleKms,
    creator: async () => (await import('./signer/google-kms.ts')).createGoogleKms,
  },
  azuresecrets: {
    purpose: 'secret',
    form: /^azuresecrets:\/\/[^/]+\/./,
    example: 'azuresecrets://VAULT/SECRET',
    packages: ['@azure/identity', '@azure/keyvault-secrets'],
    opener: async () => (await import('./secrets/azure.ts')).openAzureSecret,
  },
  azurekms: {
    purpose: 'signer',
    form: /^azurekms:\/\/[^/]+\/./,
    example: 'azurekms://VAULT/KEY',
    packages: ['@azure/identity', '@azure/keyvault-keys'],
    opener: async () => (await import('./signer/azure-keys.ts')).openAzureKey,
    creator: async () => (await import('./signer/azure-keys.ts')).createAzureKey,
  },
  pkcs11: {
    purpose: 'signer',
    form: /^pkcs11:./,
    example: 'pkcs11:token=TOKEN;object=KEY',
    packages: ['pkcs11js'],
    opener: async () => (await import('./signer/pkcs11.ts')).openPkcs11,
    creator: async () => (await import('./signer/pkcs11-create.ts')).createPkcs11,
  },
} satisfies Readonly<Record<string, SecretBackend | SignerBackend>>;

const rows = new Map<string, SecretBackend | SignerBackend>(Object.entries(backends));

/** The forms of all locators, for messages. */
export const LOCATOR_FORMS: string = Object.values(backends)
  .map(({ example }) => example)
  .join(', ');

/** The schemes under which `webdist keygen` can create a key. */
export const CREATABLE_SCHEMES: readonly string[] = Object.entries(backends).flatMap(([scheme, backend]) =>
  'creator' in backend ? [scheme] : [],
);

/** Returns the scheme at the start of a text, known or not, such as `awskms`; undefined for a path or a PEM. */
export const schemeOf = (text: string): string | undefined => /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase();

const backendOf = (text: string) => rows.get(schemeOf(text) ?? '');

/** Whether a text has the form of a locator. */
export const isLocator = (text: string): boolean => backendOf(text)?.form.test(text) ?? false;

/** True for a locator whose secret is read and used here; false if the backend keeps its key. */
export const isSecretLocator = (locator: string): boolean => backendOf(locator)?.purpose === 'secret';

/** `limitMs` is how long one call to a backend may take. */
export type OpenOptions = { readonly limitMs?: number };

/**
 * Opens the secret that a locator names; nothing is read yet. Reading also throws `key_unreachable` at the time limit.
 * Throws `config_invalid` for an unknown scheme or a malformed locator.
 */
export async function openSecret(
  locator: string,
  env: Environment,
  { limitMs = CALL_LIMIT_MS }: OpenOptions = {},
): Promise<SecretSource> {
  const backend = backendOf(locator);
  if (backend?.purpose !== 'secret') throw notALocator(locator, 'secret');
  requireInstalled(`A locator ${schemeOf(locator)}:`, backend.packages);
  const open = await backend.opener();
  const call = callOf(locator, limitMs);
  const source = await callBackend(call, () => open(locator, env), close);
  return {
    backend: source.backend,
    read: () => callBackend(call, source.read),
    ...(source.watch && { watch: source.watch }),
    close: () => closeBackend(source.backend, source.close),
  };
}

/**
 * Opens the signer that a locator names, and proves with a first signature that it works. `registered` is the public half
 * that App Store Connect reports. A key with several versions is pinned to the version that has it. If none has it, the
 * newest is opened, so the caller must compare the public half of the result with `registered`. Throws `config_invalid`
 * for an unknown scheme or a malformed locator, `key_absent`, `key_denied`, `key_unreachable`, `key_invalid` or, if the
 * backend throttles, `signer_unavailable`. The message names the backend.
 */
export async function openSigner(
  locator: string,
  env: Environment,
  { registered, limitMs = CALL_LIMIT_MS }: OpenOptions & { readonly registered?: KeyObject | undefined } = {},
): Promise<GuardedSigner> {
  const backend = backendOf(locator);
  if (backend?.purpose !== 'signer') throw notALocator(locator, 'signer');
  requireInstalled(`A locator ${schemeOf(locator)}:`, backend.packages);
  const [open, { proveAndGuard }] = await Promise.all([backend.opener(), import('./signer/guarded.ts')]);
  const call = callOf(locator, limitMs);
  return callBackend(call, async () => proveAndGuard(await open(locator, env, registered)), close);
}

const close = (opened: { close(): Promise<void> }) => opened.close();

/** The query of a locator is not shown, because it can hold a PIN. */
const callOf = (locator: string, limitMs: number) => ({
  backend: schemeOf(locator) ?? '',
  name: locator.replace(/\?.*$/s, ''),
  limitMs,
});

/**
 * Creates the key that a locator describes in its backend. Returns the locator of the new key, and its public half. The
 * new key has signed once. An existing key is never changed. Throws `state_invalid` if the key exists, `usage_invalid`
 * if the backend cannot create keys, or what `openSigner` throws.
 */
export async function createKey(
  locator: string,
  env: Environment,
): Promise<{ readonly locator: string; readonly publicKey: KeyObject }> {
  const backend = backendOf(locator);
  if (backend?.purpose !== 'signer' || !backend.creator)
    throw new WebdistError('usage_invalid', noSuchScheme(locator, 'No key can be created under'), {
      hint: `Use one of ${CREATABLE_SCHEMES.join(', ')}; for a file, use --out.`,
    });
  const create = await backend.creator();
  await refuseExisting(locator, env);
  const created = await callBackend(callOf(locator, CALL_LIMIT_MS), () => create(locator, env));
  const signer = await openSigner(created, env);
  await signer.close();
  return { locator: created, publicKey: signer.publicKey };
}

async function refuseExisting(locator: string, env: Environment): Promise<void> {
  try {
    await (await openSigner(locator, env)).close();
  } catch (error) {
    if (hasCode(error, 'key_absent')) return;
    // An unusable key exists, too.
    if (!hasCode(error, 'key_invalid')) throw error;
  }
  throw new WebdistError('state_invalid', 'This key exists already; it was not changed.', {
    hint: 'Choose another name.',
  });
}

/** The text itself may be a key, so only its scheme is repeated in the message. */
function notALocator(text: string, wanted: 'secret' | 'signer'): WebdistError {
  if (backendOf(text))
    return new WebdistError('config_invalid', `The scheme "${schemeOf(text)}:" does not name a ${wanted}.`);
  return new WebdistError('config_invalid', noSuchScheme(text, 'No locator has'), {
    hint: `Use one of ${LOCATOR_FORMS}. For a file, write file:// before its absolute path.`,
  });
}

function noSuchScheme(text: string, problem: string): string {
  const scheme = schemeOf(text);
  return scheme === undefined ? 'This is not a locator: it has no scheme.' : `${problem} the scheme "${scheme}:".`;
}
