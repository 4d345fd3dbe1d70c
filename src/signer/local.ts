/** A private key held in this process, read as PEM from any secrets backend. Signs in microseconds, without I/O. */

import { createPublicKey, sign, verify } from 'node:crypto';
import { WebdistError } from '../errors.ts';
import type { Signer } from '../jws.ts';
import { readPrivateKey } from './pem.ts';

/**
 * Takes the PEM text and the name of the backend it came from; gives a Signer and what was repaired in the text.
 * Throws `key_invalid`.
 */
export function openLocalSigner(pem: string, backend: string): { signer: Signer; repairs: readonly string[] } {
  const { key, repairs } = readPrivateKey(pem);
  const publicKey = createPublicKey(key);
  const signer: Signer = {
    backend,
    publicKey,
    sign: (data) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' }),
    async close() {
      // Nothing is held open.
    },
  };
  proveUsable(signer);
  return { signer, repairs };
}

/** A file can carry a public half that is not its private half's; better found now than on a device. */
function proveUsable(signer: Signer): void {
  const probe = Buffer.from('webdist');
  const signature = signer.sign(probe) as Uint8Array;
  if (!verify('sha256', probe, { key: signer.publicKey, dsaEncoding: 'ieee-p1363' }, signature))
    throw new WebdistError('key_invalid', 'The private and the public half in this key do not belong together.');
}
