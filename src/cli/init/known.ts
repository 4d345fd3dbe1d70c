/**
 * The answers that `webdist init` knows without asking: from the options, from the WEBDIST_* and ASC_* variables of the
 * environment, and from the settings and keys that an earlier run wrote, in this order of precedence.
 */

import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { appleKeyFile } from '../../app-store-connect/key-file-name.ts';
import { type SettingName, settings } from '../../config/settings.ts';
import type { Environment } from '../../environment.ts';
import { WebdistError } from '../../errors.ts';
import { isLocator } from '../../locators.ts';
import { ask, isInteractive, nothingChanged, say } from '../terminal.ts';
import { readEnvFile } from './env-file.ts';
import { KEY_FILES, type KeySetting } from './plan.ts';

export type Known = Record<string, string>;

export type KnownOptions = {
  readonly domain?: string;
  readonly apiKey?: string;
  readonly keyId?: string;
  readonly issuerId?: string;
  readonly key?: string;
  readonly packageUrl?: string;
  readonly set?: readonly string[];
};

const API_KEY_NAMES = ['ASC_PRIVATE_KEY', 'ASC_PRIVATE_KEY_PATH', 'ASC_PRIVATE_KEY_B64'];

/** Collects what is known. `folder` is the one to write to. */
export async function knownFrom(folder: string, env: Environment, options: KnownOptions): Promise<Known> {
  const known: Known = (await readEnvFile(join(folder, '.env'))).values;
  const learn = (more: Environment) => {
    const names = Object.keys(more);
    if (names.some(isApiKey)) for (const name of API_KEY_NAMES) forget(known, name);
    if (names.includes('WEBDIST_PACKAGE_URL')) forget(known, 'WEBDIST_PACKAGES_URL');
    for (const name of names) forget(known, name.replace(/_FILE$/, ''));
    Object.assign(known, more);
  };
  for (const setting of Object.keys(KEY_FILES) as KeySetting[]) {
    const file = join(folder, 'secrets', KEY_FILES[setting]);
    if (existsSync(file)) learn({ [setting]: pathToFileURL(file).href });
  }
  learn(Object.fromEntries(Object.entries(env).filter(([name, value]) => /^(WEBDIST|ASC)_/.test(name) && value)));
  learn(ofOptions(options));
  const file = appleKeyFile(known['ASC_PRIVATE_KEY'] ?? '');
  if (file && !known['ASC_KEY_ID']) known['ASC_KEY_ID'] = file.keyId;
  return known;
}

const isApiKey = (name: string) => API_KEY_NAMES.includes(name.replace(/_FILE$/, ''));

function forget(known: Known, name: string): void {
  delete known[name];
  delete known[`${name}_FILE`];
}

function ofOptions({ domain, apiKey, keyId, issuerId, key, packageUrl, set = [] }: KnownOptions): Environment {
  const pairs = set.map((text) => {
    const [, name = '', value = ''] = /^([A-Z][A-Z0-9_]*)=(.*)$/s.exec(text) ?? [];
    if (name === '') throw new WebdistError('usage_invalid', `--set needs NAME=value, not "${text.split('=')[0]}".`);
    return [name, value.trim()] as const;
  });
  return {
    ...Object.fromEntries(pairs),
    ...(domain !== undefined && { WEBDIST_DOMAIN: domain }),
    ...(apiKey !== undefined && { ASC_PRIVATE_KEY: asLocator(apiKey) }),
    ...(keyId !== undefined && { ASC_KEY_ID: keyId }),
    ...(issuerId !== undefined && { ASC_ISSUER_ID: issuerId }),
    ...(key !== undefined && { WEBDIST_KEY: asLocator(key) }),
    ...(packageUrl !== undefined && { WEBDIST_PACKAGE_URL: packageUrl }),
  };
}

/** A path becomes a locator. */
const asLocator = (text: string) => (isLocator(text) ? text : pathToFileURL(resolve(text)).href);

type Question = { readonly text: string; readonly form?: SettingName };

const questions: readonly (Question & { readonly option: string; readonly form: SettingName })[] = [
  {
    text: 'File of the App Store Connect API key (AuthKey_….p8; Users and Access, Integrations)',
    option: '--api-key',
    form: 'ASC_PRIVATE_KEY',
  },
  { text: 'Id of that API key', option: '--key-id', form: 'ASC_KEY_ID' },
  { text: 'Domain of the website', option: '--domain', form: 'WEBDIST_DOMAIN' },
];

/**
 * Asks for what is required and not known yet. Throws `usage_invalid`, with everything that is missing, if there is no
 * terminal.
 */
export async function askMissing(known: Known): Promise<void> {
  const isKnown = ({ form }: { form: SettingName }) =>
    form === 'ASC_PRIVATE_KEY' ? Object.keys(known).some(isApiKey) : Boolean(known[form] ?? known[`${form}_FILE`]);
  const missing = questions.filter((question) => !isKnown(question));
  if (missing.length > 0 && !isInteractive())
    throw new WebdistError('usage_invalid', `Not given: ${missing.map(({ option }) => option).join(', ')}.`, {
      hint: 'Without a terminal, give every answer as an option; see webdist init --help.',
    });
  const wasTeamKeyKnown = Boolean(known['ASC_ISSUER_ID']) || !missing.some(({ form }) => form === 'ASC_PRIVATE_KEY');
  for (const question of missing) {
    if (isKnown(question)) continue;
    const text = await answerTo(question);
    if (question.form !== 'ASC_PRIVATE_KEY') known[question.form] = text;
    else {
      known['ASC_PRIVATE_KEY'] = text;
      const file = appleKeyFile(text);
      if (file) known['ASC_KEY_ID'] ??= file.keyId;
    }
  }
  if (wasTeamKeyKnown) return;
  const issuerId = await answerTo(
    { text: 'Issuer id of that API key (empty for an individual key)', form: 'ASC_ISSUER_ID' },
    '',
  );
  if (issuerId !== '') known['ASC_ISSUER_ID'] = issuerId;
}

/** Asks until the answer is valid. An empty answer stands for `usual`. The path of a key becomes a locator. */
export async function answerTo({ text, form }: Question, usual?: string): Promise<string> {
  for (;;) {
    const answer = await ask(usual ? `${text} [${usual}]: ` : `${text}: `);
    if (answer === undefined) throw nothingChanged();
    const value = answer || usual;
    if (value === undefined) {
      say('An answer is needed; Ctrl-C ends.');
      continue;
    }
    if (value === usual || form === undefined) return value;
    const isKey = Object.hasOwn(KEY_FILES, form);
    const given = isKey ? asLocator(value) : value;
    const { error } = settings[form].form.safeParse(given);
    if (isKey && isMissingFile(given)) say(`There is no file ${value}.`);
    else if (error) say(`${error.issues[0]?.message}.`);
    else return given;
  }
}

const isMissingFile = (locator: string) => locator.startsWith('file:') && !existsSync(fileURLToPath(locator));
