/**
 * Stands in for src/vault/http.ts: one simulated Vault, whose keys never leave it. It can be slow, refuse, sign with the
 * wrong version, or get a new version of a key.
 */

import type { Answer, Request, VaultHttp } from '../../../src/vault/http.ts';
import { described, newKey, signed, type TransitKey } from '../../harness/stand-ins/vault-transit.ts';
import { request } from './network.ts';
import { schedule, wait } from './scheduler.ts';

/** What is wrong with it. */
export type VaultFault = 'sealed' | 'throttling' | 'slow' | 'too slow' | 'signing with another version';

const TYPE = 'ecdsa-p256';
const TIMEOUT_MS = 5000;
const delays: Partial<Record<VaultFault, number>> = { slow: 1000, 'too slow': 3000 };

let keys = new Map<string, TransitKey>();
let fault: VaultFault | undefined;

/** Makes new keys with these names. */
export function resetVault(names: readonly string[]): void {
  const newTransitKey = () => ({ type: TYPE, versions: [newKey(TYPE)], minEncryptionVersion: 0, autoRotateSeconds: 0 });
  keys = new Map(names.map((name) => [name, newTransitKey()]));
  fault = undefined;
}

export const setVaultFault = (begun: VaultFault | undefined): void => {
  fault = begun;
};

/** Someone rotates a key in Vault: the key has one more version. */
export const rotateInVault = (name: string): void => void keys.get(name)?.versions.push(newKey(TYPE));

export function openVaultHttp(): VaultHttp {
  return {
    send(sent) {
      const answering = request({ name: 'Vault' }, () => answer(sent));
      return new Promise((resolve, reject) => {
        const cancel = schedule(TIMEOUT_MS, () => reject(new Error('The operation was aborted due to timeout')));
        answering.then(resolve, reject).finally(cancel);
      });
    },
    close: () => undefined,
  };
}

async function answer({ method, path, body = {} }: Request): Promise<Answer> {
  const delayMs = fault && delays[fault];
  if (delayMs !== undefined) await wait(delayMs, null);
  if (fault === 'sealed') return { status: 503, body: { errors: ['Vault is sealed'] }, retryAfterSeconds: undefined };
  if (fault === 'throttling')
    return { status: 429, body: { errors: ['rate limit quota exceeded'] }, retryAfterSeconds: 2 };
  if (path === 'auth/token/lookup-self') return answered(200, { data: { ttl: 0, renewable: false } });
  const [, verb, name = ''] = /^transit\/(keys|sign)\/([^/]+)/.exec(path) ?? [];
  const key = keys.get(name);
  if (!key) return answered(404, { errors: [] });
  if (method === 'GET' && verb === 'keys') return answered(200, { data: described(key) });
  if (fault !== 'signing with another version') return answered(...signed(key, { ...body }, true));
  const another = { ...key, versions: key.versions.map(() => newKey(TYPE)) };
  return answered(...signed(another, { ...body }, true));
}

const answered = (status: number, body: object): Answer => ({ status, body, retryAfterSeconds: undefined });
