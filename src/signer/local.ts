/** A private key in this process, read as PEM from a secret. Signs in microseconds, without I/O. */

import { createPublicKey, sign } from 'node:crypto';
import { WebdistError } from '../errors.ts';
import { canonical, type Signer } from '../jws.ts';
import { DECODED_BASE64, readPrivateKey } from './pem.ts';
import { isSignatureOf, PROBE } from './proof.ts';

/**
 * Opens a signer with the key in a PEM. `backend` is the name of the backend that the PEM came from. `repairs` lists what
 * was repaired in it. Base64 of a PEM is permitted in a variable, so it is not reported as a repair
 * (docs/keys/README.md). Throws `key_invalid`.
 */
export function openLocalSigner(pem: string, backend: string): { signer: Signer; repairs: readonly string[] } {
  const { key, repairs } = readPrivateKey(pem);
  const reported = backend === 'env' ? repairs.filter((repair) => repair !== DECODED_BASE64) : repairs;
  const publicKey = canonical(createPublicKey(key));
  const es256 = (data: Uint8Array) => sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
  // A PEM can contain the public half of another key. It must be found now, not by a device.
  if (!isSignatureOf(publicKey, PROBE, es256(PROBE)))
    throw new WebdistError('key_invalid', 'The private and the public half in this key do not belong together.');
  const signer: Signer = {
    backend,
    publicKey,
    sign: es256,
    async close() {
      // Nothing is open.
    },
  };
  return { signer, repairs: reported };
}
