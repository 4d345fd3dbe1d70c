/**
 * The file `signature` of the sandbox's packages. Apple signs the manifest with its own key. Here, a digest with a
 * label replaces that signature, so that the simulated device can distinguish it from any other content.
 */

import { createHash } from 'node:crypto';

const BYTES = 256;

/** The signature of a manifest, which is taken byte for byte. */
export const packageSignature = (manifest: Uint8Array): Buffer =>
  createHash('shake256', { outputLength: BYTES }).update('simulated signature\n').update(manifest).digest();
