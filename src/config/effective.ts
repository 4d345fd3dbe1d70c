/** Lists, for `webdist config print`, the effective value of every setting and its source, without secrets. */

import { isLocator } from '../locators.ts';
import type { Read } from './read.ts';
import { type Setting, type SettingName, settings } from './settings.ts';

/** One setting. `value` is null if the setting has none. */
export type Effective = {
  readonly name: SettingName;
  readonly value: string | null;
  /** The variable that gave the value (`NAME`, `NAME_FILE` or `WEBDIST_CONFIG`), `default`, or `not set`. */
  readonly source: string;
};

const MASK = '***';

/**
 * Returns every setting, in the order of the table. `derived` has the defaults that depend on other settings. A
 * malformed value is not shown; the setting's default is shown instead.
 */
export const effectiveSettings = (
  { values, given }: Pick<Read, 'values' | 'given'>,
  derived: Partial<Record<SettingName, string>>,
): Effective[] =>
  (Object.keys(settings) as SettingName[]).map((name) => {
    const source = given.get(name);
    const value = source === undefined ? (derived[name] ?? values[name]) : values[name];
    const isInFile = name === 'WEBDIST_DOMAIN' && value !== undefined;
    return {
      name,
      value: value === undefined ? null : shown(name, value),
      source: source ?? (isInFile ? 'WEBDIST_CONFIG' : value === undefined ? 'not set' : 'default'),
    };
  });

function shown(name: SettingName, value: string | number | readonly string[]): string {
  const { isSecret }: Setting = settings[name];
  if (isSecret) return MASK;
  const items = typeof value === 'object' ? value : [String(value)];
  if (name === 'WEBDIST_API_KEYS') return items.map((item) => item.replace(/:.*/, `:${MASK}`)).join(', ');
  // These settings also accept a PEM instead of its locator.
  if (name === 'ASC_PRIVATE_KEY' && !items.every(isLocator)) return MASK;
  return items.map(withoutPassword).join(', ');
}

/**
 * Returns a URL or locator without the password of its login (RFC 3986 §3.2.1), its options (libpq) and its PIN (RFC
 * 7512 §2.4).
 */
export const withoutPassword = (url: string): string =>
  url
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#@:]*):[^/?#@]*@/i, `$1:${MASK}@`)
    .replace(/([?&](?:[\w-]*(?:password|secret|token)|pin-value)=)[^&#]*/gi, `$1${MASK}`);
