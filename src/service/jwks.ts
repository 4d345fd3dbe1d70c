/** The JWK Set (RFC 7517 §5) of the keys that sign now, for anyone who verifies tokens. */

import type { JWK } from 'jose';
import type { Keys } from '../registration/keys.ts';
import { canSign } from '../registration/state.ts';

/** The public halves of the apps that can sign now, each with its key id as `kid`. */
export const jwksOf = (keys: Pick<Keys, 'apps' | 'keyFor'>): { keys: JWK[] } => ({
  keys: keys.apps.filter(canSign).map(({ app }) => {
    const { signer, keyId } = keys.keyFor(app);
    return { ...signer.publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'ES256' };
  }),
});
