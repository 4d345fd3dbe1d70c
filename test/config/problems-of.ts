/** The minimum settings of a service, and the problems with others. */

import { readConfig } from '../../src/config/config.ts';
import { isWebdistError } from '../../src/errors.ts';

export const minimal = {
  WEBDIST_DOMAIN: 'example.com',
  WEBDIST_APPLE_ITEM_ID: '6500000001',
  WEBDIST_BUNDLE_ID: 'com.example.trailmap',
  WEBDIST_KEY: 'file:///run/secrets/key.pem',
  ASC_KEY_ID: '2X9R4HXF34',
  ASC_ISSUER_ID: '57246542-96fe-1a63-e053-0824d011072a',
  ASC_PRIVATE_KEY: 'file:///run/secrets/AuthKey_2X9R4HXF34.p8',
};

/** The problems with these settings, as the error lists them. */
export const problemsOf = (env: Record<string, string | undefined>): string[] => {
  try {
    readConfig(env);
    return [];
  } catch (error) {
    if (!isWebdistError(error) || error.code !== 'config_invalid') throw error;
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.trim());
  }
};
