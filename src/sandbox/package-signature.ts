/**
 * The file `signature` of the sandbox's packages. Apple's is made with Apple's key over the manifest; here a digest with a
 * label takes its place, so that the simulated device can tell it from any other content.
 */

import { createHash } from 'node:crypto';

const BYTES = 256;

/** The signature of a manifest, which is taken byte for byte. */
export const packageSignature = (manifest: Uint8Array): Buffer =>
  createHash('shake256', { outputLength: BYTES }).update('simulated signature\n').update(manifest).digest();
