/** A signer whose signatures are timed and counted. Must not know what is signed. */

import type { Signer } from '../jws.ts';
import type { Metrics } from '../metrics.ts';

/** The signer, measured by its backend's name. Throws what it throws. */
export function timedSigner(signer: Signer, metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>): Signer {
  return {
    backend: signer.backend,
    publicKey: signer.publicKey,
    close: () => signer.close(),
    async sign(data) {
      const took = metrics.signSeconds.startTimer({ signer: signer.backend });
      try {
        return await signer.sign(data);
      } catch (error) {
        metrics.signFailures.inc({ signer: signer.backend });
        throw error;
      } finally {
        took();
      }
    },
  };
}
