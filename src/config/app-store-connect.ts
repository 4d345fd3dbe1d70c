/** The settings of App Store Connect and of its API key. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { locators } from './key-forms.ts';
import type { Problem } from './problems.ts';
import type { Read } from './read.ts';
import type { SettingName, Values } from './settings.ts';

const privateKeyNames = ['ASC_PRIVATE_KEY', 'ASC_PRIVATE_KEY_PATH', 'ASC_PRIVATE_KEY_B64'] as const;

/** The settings that this file reads. */
export const appStoreConnectNames: readonly SettingName[] = [
  'ASC_KEY_ID',
  'ASC_ISSUER_ID',
  ...privateKeyNames,
  'ASC_BASE_URL',
];

/** Returns the settings for calls to App Store Connect. Adds a problem to `problems` for each missing one. */
export function appStoreConnectOf({ values, given }: Read, problems: Problem[]) {
  const keys = privateKeyNames.filter((name) => given.has(name));
  if (keys.length > 1)
    problems.push({
      variable: keys[0] ?? '',
      message: `set only one of ${keys.map((name) => given.get(name)).join(', ')}`,
    });
  if (keys.length === 0)
    problems.push({
      variable: 'ASC_PRIVATE_KEY',
      message: 'is required: a locator or the PEM of the API key (or set ASC_PRIVATE_KEY_PATH or ASC_PRIVATE_KEY_B64)',
    });
  if (!given.has('ASC_KEY_ID'))
    problems.push({ variable: 'ASC_KEY_ID', message: 'is required: the key id shown beside the API key' });
  return {
    baseUrl: values.ASC_BASE_URL,
    keyId: values.ASC_KEY_ID ?? '',
    issuerId: values.ASC_ISSUER_ID,
    privateKey: locatorOf(values),
    privateKeyVariable: variableOf(given),
  };
}

/** Returns the settings of the API key that are set; none is required. `privateKey` is a locator. */
export function apiKeyIn({ values, given }: Read) {
  return {
    baseUrl: values.ASC_BASE_URL,
    keyId: values.ASC_KEY_ID,
    issuerId: values.ASC_ISSUER_ID,
    privateKey: privateKeyNames.some((name) => given.has(name)) ? locatorOf(values) : undefined,
    privateKeyVariable: variableOf(given),
    bundleId: values.WEBDIST_BUNDLE_ID,
  };
}

/** Returns the variable that gave the API key, for messages: any of the settings, or its `_FILE`. */
const variableOf = (given: Read['given']): string =>
  privateKeyNames.map((name) => given.get(name)).find((variable) => variable !== undefined) ?? 'ASC_PRIVATE_KEY';

/** Returns the locator of the API key, from any of the settings that can give it. A PEM stays in the environment. */
function locatorOf(values: Values): string {
  if (values.ASC_PRIVATE_KEY_PATH) return pathToFileURL(resolve(values.ASC_PRIVATE_KEY_PATH)).href;
  const name = values.ASC_PRIVATE_KEY_B64 ? 'ASC_PRIVATE_KEY_B64' : 'ASC_PRIVATE_KEY';
  const key = values[name];
  return key && locators.safeParse(key).success ? key : `env://${name}`;
}
