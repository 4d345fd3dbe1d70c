/** Measures and traces signatures. */

import type { Signer, SigningKey } from '../jws.ts';
import type { Metrics } from '../metrics.ts';
import { span } from '../tracing/tracing.ts';

/**
 * Wraps the signer of a key with tracing and with metrics by its backend's name. Errors pass through. A key is wrapped
 * only once.
 */
export function timedKeys(metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>): (key: SigningKey) => SigningKey {
  const timed = new WeakMap<SigningKey, SigningKey>();
  return (key) => {
    const known = timed.get(key);
    if (known) return known;
    const fresh = { ...key, signer: timedSigner(key.signer, metrics, key.keyId) };
    timed.set(key, fresh);
    return fresh;
  };
}

function timedSigner(signer: Signer, metrics: Pick<Metrics, 'signSeconds' | 'signFailures'>, keyId: string): Signer {
  const labels = { signer: signer.backend };
  const attributes = () => ({ 'webdist.signer': signer.backend, 'webdist.key_id': keyId });
  return {
    backend: signer.backend,
    publicKey: signer.publicKey,
    close: () => signer.close(),
    async sign(data) {
      const startedAt = performance.now();
      try {
        return await span('sign', () => signer.sign(data), attributes);
      } catch (error) {
        metrics.signFailures.inc(labels);
        throw error;
      } finally {
        metrics.signSeconds.observe(labels, (performance.now() - startedAt) / 1000);
      }
    },
  };
}
