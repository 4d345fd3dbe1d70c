/**
 * Reads the settings of the connection to Vault from the environment: its address, and how its certificate is checked.
 */

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { MAX_CERTIFICATES_BYTES, readSmallFile } from '../cloud/files.ts';
import type { Environment } from '../environment.ts';
import { isWebdistError, WebdistError } from '../errors.ts';
import { isLoopback } from '../host.ts';
import { vaultVariable } from './variables.ts';

export type VaultAddress = {
  /** Ends with a slash. For a socket, the host is `localhost`. */
  readonly url: URL;
  /** The path of an agent's Unix socket. */
  readonly socketPath: string | undefined;
  /** True for a Vault Agent or Proxy, which may add its own token. */
  readonly isAgent: boolean;
  /** What Node's `https.Agent` takes. */
  readonly tls: { readonly ca?: (string | Buffer)[]; cert?: Buffer; key?: Buffer; servername?: string };
  readonly namespace: string | undefined;
  /** The environment with the variables of a proxy; undefined for a socket. */
  readonly proxyEnv: Environment | undefined;
};

/** Reads the address, the certificates and the namespace. Throws `config_invalid`. */
export async function vaultAddress(env: Environment): Promise<VaultAddress> {
  const agent = await vaultVariable(env, 'AGENT_ADDR');
  const text = agent ?? (await vaultVariable(env, 'ADDR')) ?? '';
  const socketPath = /^unix:\/\/(\/.+)$/.exec(text)?.[1];
  const url = socketPath ? new URL('http://localhost/') : parse(text);
  return {
    url,
    socketPath,
    isAgent: agent !== undefined || isLoopback(url.hostname),
    tls: await tlsOf(env),
    namespace: await vaultVariable(env, 'NAMESPACE'),
    proxyEnv: socketPath ? undefined : env,
  };
}

function parse(text: string): URL {
  const url = URL.canParse(text) ? new URL(text.endsWith('/') ? text : `${text}/`) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return url;
  throw new WebdistError('config_invalid', 'A Vault locator needs VAULT_ADDR, such as https://vault.example.com:8200.');
}

async function tlsOf(env: Environment): Promise<VaultAddress['tls']> {
  const caFile = await vaultVariable(env, 'CACERT');
  const caFolder = caFile ? undefined : await vaultVariable(env, 'CAPATH');
  const ca = caFile ? [await fileOf('VAULT_CACERT', caFile)] : caFolder && (await folderOf(caFolder));
  const [certFile, keyFile] = [await vaultVariable(env, 'CLIENT_CERT'), await vaultVariable(env, 'CLIENT_KEY')];
  if (!certFile !== !keyFile)
    throw new WebdistError('config_invalid', 'VAULT_CLIENT_CERT and VAULT_CLIENT_KEY are only used together.', {
      hint: 'Set both, or none.',
    });
  const servername = await vaultVariable(env, 'TLS_SERVER_NAME');
  return {
    ...(ca && { ca }),
    ...(certFile && { cert: await fileOf('VAULT_CLIENT_CERT', certFile) }),
    ...(keyFile && { key: await fileOf('VAULT_CLIENT_KEY', keyFile) }),
    ...(servername && { servername }),
  };
}

async function folderOf(path: string): Promise<(string | Buffer)[]> {
  try {
    const names = (await readdir(path)).filter((name) => /\.(pem|crt|cer)$/.test(name));
    return [...rootCertificates, ...(await Promise.all(names.map((name) => fileOf('VAULT_CAPATH', join(path, name)))))];
  } catch (cause) {
    if (isWebdistError(cause)) throw cause;
    throw new WebdistError('config_invalid', `VAULT_CAPATH: the folder ${path} cannot be read.`, { cause });
  }
}

async function fileOf(variable: string, path: string): Promise<Buffer> {
  try {
    return await readSmallFile(path, MAX_CERTIFICATES_BYTES);
  } catch (cause) {
    throw new WebdistError('config_invalid', `${variable}: the file ${path} cannot be read.`, { cause });
  }
}
