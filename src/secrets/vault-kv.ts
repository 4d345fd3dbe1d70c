/**
 * Vault and OpenBao KV version 2: `vault+kv://MOUNT/PATH#FIELD`. Example: `vault+kv://secret/webdist/camping#key`.
 * Permission: the capability `read` on MOUNT/data/PATH. See docs/keys/vault-kv.md.
 */

import { z } from 'zod';
import { refused } from '../cloud/refusal.ts';
import type { Environment } from '../environment.ts';
import { hasCode, WebdistError } from '../errors.ts';
import { openVault, type Vault } from '../vault/vault.ts';
import type { SecretSource } from './secret-source.ts';

/** The response to GET MOUNT/data/PATH; the inner `data` is null for a version that was deleted. */
const secretForm = z.object({ data: z.object({ data: z.record(z.string(), z.unknown()).nullable() }) });

/** Opens a `vault+kv:` locator. Each read fetches the current version. Throws `config_invalid`. */
export async function openVaultKv(locator: string, env: Environment): Promise<SecretSource> {
  const { path, field, name } = parse(locator);
  const thing = `The Vault KV secret ${name}`;
  const vault = await openVault(env);
  return {
    backend: 'vault+kv',
    async read() {
      const response = await vault.call(thing, { method: 'GET', path }, secretForm).catch(async (error) => {
        throw hasCode(error, 'key_absent', 'key_denied', 'key_invalid')
          ? ((await mistakeIn(vault, thing, path)) ?? error)
          : error;
      });
      const value = response.data.data?.[field];
      if (value === undefined || value === null || value === '')
        throw refused(thing, {
          kind: 'absent',
          why: `has nothing in the field "${field}".`,
          hint: 'Check the field name after the # of the locator.',
        });
      if (typeof value !== 'string')
        throw refused(thing, { kind: 'invalid', why: `has no text in the field "${field}".` });
      return value;
    },
    async close() {
      vault.close();
    },
  };
}

/** The response to GET sys/internal/ui/mounts/MOUNT, which every token may read for a mount in its policy. */
const mountForm = z.object({
  data: z.object({ type: z.string(), options: z.record(z.string(), z.string()).nullable() }),
});

/** Returns the usual mistake in a locator that Vault reports as absent or denied; undefined if it is none of these. */
async function mistakeIn(vault: Vault, thing: string, path: string): Promise<WebdistError | undefined> {
  const [, mount = '', name = ''] = /^([^/]+)\/data\/(.+)$/.exec(path) ?? [];
  if (name.startsWith('data/'))
    return refused(thing, {
      kind: 'absent',
      why: 'does not exist, and its path begins with "data/".',
      hint: 'Remove "data/" from the locator: Vault\'s API has it in its paths, and webdist adds it.',
    });
  const request = { method: 'GET', path: `sys/internal/ui/mounts/${mount}` } as const;
  const engine = await vault.call(thing, request, mountForm).catch(() => undefined);
  if (!engine || engine.data.options?.['version'] === '2') return undefined;
  return refused(thing, {
    kind: 'invalid',
    why: engine.data.type === 'kv' ? 'is in a KV engine of version 1.' : 'is not in a KV engine.',
    hint: 'Use a KV version 2 engine: vault kv enable-versioning MOUNT, or vault secrets enable -version=2 kv.',
  });
}

function parse(locator: string): { path: string; field: string; name: string } {
  const form = /^vault\+kv:\/\/([^/?#]+)\/([^?#]+)#(.+)$/;
  const segments = (text: string) => text.split('/').map(decodeURIComponent);
  const malformed = (cause?: unknown) =>
    new WebdistError('config_invalid', 'A Vault KV locator is vault+kv://MOUNT/PATH#FIELD.', { cause });
  try {
    const [, mount, path, field] = form.exec(locator) ?? [];
    if (!mount || !path || !field) throw malformed();
    const names = [...segments(mount), ...segments(path)];
    if (names.some((name) => /^\.{0,2}$/.test(name))) throw malformed();
    const [first = '', ...rest] = names.map(encodeURIComponent);
    return { path: `${first}/data/${rest.join('/')}`, field: decodeURIComponent(field), name: names.join('/') };
  } catch (cause) {
    throw cause instanceof WebdistError ? cause : malformed(cause);
  }
}
