/** Makes P-256 keys. In a simulation, they follow from the seed. */

import { generateKeyPairSync } from 'node:crypto';

export const newKeyPem = (): string =>
  generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;
