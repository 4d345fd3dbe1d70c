/** Builds the JWK Set (RFC 7517 §5) of the keys that currently sign, for anyone who verifies tokens. */

import type { JWK } from 'jose';
import type { Keys } from '../registration/keys.ts';

/** Returns the public halves of the apps that can sign now, each with its key id as `kid`. */
export const jwksOf = ({ apps }: Pick<Keys, 'apps'>): { keys: JWK[] } => ({
  keys: apps
    .filter(({ canSign }) => canSign)
    .map((one) => {
      const { signer, keyId } = one.currentKey();
      return { ...signer.publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', alg: 'ES256' };
    }),
});
