/**
 * From names and texts to values: `NAME` or the file of `NAME_FILE`, parsed as the table of settings says. Every
 * problem is added to a list, by the name of its variable.
 */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { z } from 'zod';
import type { Environment } from '../environment.ts';
import { type Setting, settings } from './settings.ts';

export type Settings = typeof settings;
type Values = { readonly [N in keyof Settings]: z.output<Settings[N]['form']> | undefined };
/** Where a setting has a default, its value is never undefined. */
export type Given = {
  readonly [N in keyof Settings]: Settings[N] extends { default: string } ? z.output<Settings[N]['form']> : Values[N];
};

type Text = { readonly value: string; readonly file?: string };

/** The text of each setting, from `NAME` or from the file that `NAME_FILE` names. An empty value is none. */
export function resolveFiles(env: Environment, problems: string[]): Map<string, Text> {
  const texts = new Map<string, Text>();
  for (const name of Object.keys(settings)) {
    const [value, file] = [env[name], env[`${name}_FILE`]];
    if (value && file) problems.push(`${name}: is given twice, also as ${name}_FILE; leave one`);
    if (value) texts.set(name, { value });
    else if (file) {
      try {
        texts.set(name, { value: readFileSync(file, 'utf8').trim(), file });
      } catch (error) {
        problems.push(`${name}_FILE: the file cannot be read (${(error as NodeJS.ErrnoException).code})`);
      }
    }
  }
  for (const name of Object.keys(env))
    if (name.startsWith('WEBDIST_') && !Object.hasOwn(settings, name.replace(/_FILE$/, '')))
      problems.push(`${name}: there is no such setting; see the settings table in the README`);
  return texts;
}

/** The value of each setting; what is malformed or not there is missing. */
export function readValues(texts: Map<string, Text>, problems: string[]): Given {
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting>(settings)) {
    const text = texts.get(name);
    const value = (text && asLocator(name, text)) ?? setting.default;
    if (value === undefined) continue;
    const result = setting.form.safeParse(value);
    if (result.success) values[name] = result.data;
    else
      for (const message of new Set(result.error.issues.map((issue) => issue.message)))
        problems.push(`${name}: ${message}`);
  }
  return values as Given;
}

/** A file given with `WEBDIST_KEY_FILE` or `ASC_PRIVATE_KEY_FILE` may hold the key itself: then its path is the locator. */
function asLocator(name: string, { value, file }: Text): string {
  const isKey = ['WEBDIST_KEY', 'ASC_PRIVATE_KEY', 'ASC_PRIVATE_KEY_B64'].includes(name);
  return isKey && file && !/^[a-z][a-z0-9+.-]*:/.test(value) ? pathToFileURL(resolve(file)).href : value;
}
