/** A signer whose signatures are timed and counted. Must not know what is signed. */

import type { Signer } from '../jws.ts';
import type { Metrics } from '../metrics.ts';

/** Gives for a signer the same one, measured by its backend's name. It throws what the signer throws. */
export function timedSigners(metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>): (signer: Signer) => Signer {
  const timed = new WeakMap<Signer, Signer>();
  return (signer) => {
    const known = timed.get(signer) ?? timedSigner(signer, metrics);
    timed.set(signer, known);
    return known;
  };
}

function timedSigner(signer: Signer, metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>): Signer {
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
