/** Measures and traces signatures. */

import type { Signer } from '../jws.ts';
import type { Metrics } from '../metrics.ts';
import { span } from '../tracing/tracing.ts';

/**
 * Wraps a signer, which signs under `keyId`, with tracing and with metrics by its backend's name. Errors pass through.
 * A signer is wrapped only once.
 */
export function timedSigners(
  metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>,
): (signer: Signer, keyId: string) => Signer {
  const timed = new WeakMap<Signer, { readonly keyId: string; readonly signer: Signer }>();
  return (signer, keyId) => {
    const known = timed.get(signer);
    if (known?.keyId === keyId) return known.signer;
    const fresh = timedSigner(signer, metrics, keyId);
    timed.set(signer, { keyId, signer: fresh });
    return fresh;
  };
}

function timedSigner(signer: Signer, metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>, keyId: string): Signer {
  const attributes = () => ({ 'webdist.signer': signer.backend, 'webdist.key_id': keyId });
  return {
    backend: signer.backend,
    publicKey: signer.publicKey,
    close: () => signer.close(),
    async sign(data) {
      const took = metrics.signSeconds.startTimer({ signer: signer.backend });
      try {
        return await span('sign', () => signer.sign(data), attributes);
      } catch (error) {
        metrics.signFailures.inc({ signer: signer.backend });
        throw error;
      } finally {
        took();
      }
    },
  };
}
