/**
 * Reads the settings of an environment once. The text of each comes from `NAME` or from the file of `NAME_FILE`, and is
 * trimmed. Its value has the form in the table of settings. Everything else is derived from the result.
 */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Environment } from '../environment.ts';
import { schemeOf } from '../locators.ts';
import { isKeyText } from './key-forms.ts';
import { concerns, type Problem } from './problems.ts';
import { isServiceVariable } from './service-variables.ts';
import { isAmbient, type Setting, type SettingName, settings, type Values } from './settings.ts';
import { mostSimilar } from './similar.ts';

/** What an environment holds. Contains secrets; never log it. */
export type Read = {
  readonly mode: 'production' | 'sandbox';
  /** The value of every setting. If it was not given, or has a problem, the value is its default or undefined. */
  readonly values: Values;
  /** The settings that were given, including those with a problem, each with its variable: `NAME` or `NAME_FILE`. */
  readonly given: ReadonlyMap<SettingName, string>;
  /** The path of the file that each setting came from, for those that came from one. */
  readonly files: ReadonlyMap<SettingName, string>;
  readonly problems: readonly Problem[];
  /** The variables that were ignored, each with the reason. */
  readonly warnings: readonly Problem[];
};

type Notes = {
  readonly given: Map<SettingName, string>;
  readonly files: Map<SettingName, string>;
  readonly problems: Problem[];
  readonly warnings: Problem[];
};
type Text = { readonly value: string; readonly file?: string };

const names = Object.keys(settings) as SettingName[];

const BYTE_ORDER_MARK = 'its name has a byte order mark before it; save the file of variables as UTF-8 without one';

/** Reads every setting. Never throws; problems are listed in `problems`. */
export function readSettings(env: Environment): Read {
  const notes: Notes = { given: new Map(), files: new Map(), problems: [], warnings: [] };
  const values = Object.fromEntries(
    names.map((name) => [name, parse(name, textOf(name, env, notes), notes)]),
  ) as Values;
  for (const [name, value] of Object.entries(env))
    if (name.startsWith('\uFEFF') && Object.hasOwn(settings, name.slice(1)))
      notes.problems.push({ variable: name.slice(1), message: BYTE_ORDER_MARK });
    else if (isUnknown(name) && value !== undefined && !isServiceVariable(name, value))
      notes.problems.push({ variable: name, message: unknownSetting(name) });
  return { mode: values.WEBDIST_MODE ?? usualMode(notes.given, env), values, ...notes };
}

/**
 * Adds the settings of a sandbox to those that were read. Its app and API key replace WEBDIST_CONFIG and ASC_*; other
 * settings of the operator take precedence.
 */
export function withSandbox(read: Read, sandbox: Environment): Read {
  const below = readSettings(sandbox);
  const isReplaced = (name: string) => name.startsWith('ASC_') || name === 'WEBDIST_CONFIG';
  const isFromSandbox = (name: SettingName) => isReplaced(name) || (below.given.has(name) && !read.given.has(name));
  const replaced = [...read.given].filter(([name]) => isReplaced(name));
  const ignored = replaced.map(([, variable]) => ({
    variable,
    message: 'ignored in sandbox mode: the simulated App Store Connect has its own app and API key',
  }));
  return {
    mode: 'sandbox',
    values: Object.fromEntries(
      names.map((name) => [name, (isFromSandbox(name) ? below : read).values[name]]),
    ) as unknown as Values,
    given: new Map([
      ...[...read.given].filter(([name]) => !isFromSandbox(name)),
      ...[...below.given].filter(([name]) => isFromSandbox(name)),
    ]),
    files: read.files,
    problems: [
      ...read.problems.filter((problem) => !names.some((name) => isReplaced(name) && concerns(problem, name))),
      ...below.problems,
    ],
    warnings: [...read.warnings, ...ignored],
  };
}

/** Whether an app is named: the operator wants to serve it to devices. */
const namesAnApp = (given: Read['given']): boolean =>
  (['WEBDIST_CONFIG', 'WEBDIST_DOMAIN', 'WEBDIST_APPLE_ITEM_ID', 'WEBDIST_BUNDLE_ID', 'WEBDIST_KEY'] as const).some(
    (name) => given.has(name),
  );

/** Whether production mode is due to NODE_ENV alone, as in the image, and no setting is wrong. */
export const isNothingSet = ({ mode, given, problems }: Read): boolean =>
  mode === 'production' && !namesAnApp(given) && !given.has('WEBDIST_MODE') && problems.length === 0;

const usualMode = (given: Read['given'], env: Environment): Read['mode'] =>
  env['NODE_ENV']?.trim() === 'production' || namesAnApp(given) ? 'production' : 'sandbox';

/** Returns the text of one setting. An empty value counts as not set, so that a template may leave a variable empty. */
function textOf(name: SettingName, env: Environment, { given, files, problems, warnings }: Notes): Text | undefined {
  const inline = trimmed(env[name]);
  const file = trimmed(env[`${name}_FILE`]);
  // For a Service named webdist-operator, Kubernetes sets WEBDIST_OPERATOR_PORT=tcp://….
  const value = inline !== undefined && isServiceVariable(name, inline) ? undefined : inline;
  if (value !== undefined) {
    given.set(name, name);
    if (file !== undefined) problems.push({ variable: name, message: `set ${name} or ${name}_FILE, not both` });
    return { value };
  }
  if (file === undefined) return undefined;
  const variable = `${name}_FILE`;
  try {
    const text = trimmed(readFileSync(file, 'utf8'));
    if (text === undefined) {
      warnings.push({ variable, message: `the file is empty, so ${name} counts as not set` });
      return undefined;
    }
    given.set(name, variable);
    files.set(name, resolve(file));
    return { value: text, file };
  } catch (error) {
    given.set(name, variable);
    problems.push({ variable, message: `the file cannot be read (${(error as NodeJS.ErrnoException).code})` });
    return undefined;
  }
}

/** Removes white space, line breaks and a byte order mark at both ends. Returns undefined if nothing is left. */
const trimmed = (text: string | undefined) => text?.trim() || undefined;

function unknownSetting(name: string): string {
  const [, stem = name, suffix = ''] = /^(.*?)(_FILE)?$/.exec(name) ?? [];
  const meant = mostSimilar(stem, names);
  const question = meant === undefined ? '' : `did you mean ${meant}${suffix}? `;
  return `there is no such setting; ${question}docs/settings.md lists them all`;
}

const isUnknown = (name: string) =>
  name.startsWith('WEBDIST_') && !Object.hasOwn(settings, name) && !Object.hasOwn(settings, name.replace(/_FILE$/, ''));

/** Returns the value of one setting. For a missing or malformed one, returns its default or undefined. */
function parse(name: SettingName, text: Text | undefined, { problems, warnings }: Notes): unknown {
  const { form, default: standard }: Setting = settings[name];
  const usual = standard === undefined ? undefined : form.parse(standard);
  if (text === undefined) return usual;
  const value = asLocator(name, text);
  const result = form.safeParse(value);
  const isQuoted = hasQuotes(name, value);
  if (result.success && !isQuoted) return result.data;
  const cause = isOneWithoutSpaces(form, value) ? 'there is white space in the value; ' : '';
  const messages = isQuoted ? [QUOTES] : (result.error?.issues.map((issue) => issue.message) ?? []);
  for (const message of new Set(messages))
    if (isAmbient(name)) warnings.push({ variable: name, message: `ignored: ${cause}${message}` });
    else problems.push({ variable: name, message: `${cause}${message}` });
  return usual;
}

const QUOTES = 'there are quotes around the value; remove them';

/**
 * Docker Compose and shells remove the quotes around a value, but `docker run --env-file` and Kubernetes do not. A value
 * must not depend on that. Quotes around a PEM are repaired where it is read.
 */
const hasQuotes = (name: SettingName, value: string) =>
  /^(["']).*\1$/s.test(value) && !(['ASC_PRIVATE_KEY', 'ASC_PRIVATE_KEY_B64'].includes(name) && isKeyText(value));

/** Whether a value is malformed only because it contains white space. In a list, white space separates the items. */
function isOneWithoutSpaces(form: Setting['form'], value: string): boolean {
  const { success, data } = form.safeParse(value.replace(/\s+/g, ''));
  return success && !Array.isArray(data);
}

/**
 * The file of `WEBDIST_KEY_FILE` or `ASC_PRIVATE_KEY_FILE` may contain the key itself. In that case, its path is the
 * locator.
 */
function asLocator(name: SettingName, { value, file }: Text): string {
  const isKey = ['WEBDIST_KEY', 'ASC_PRIVATE_KEY', 'ASC_PRIVATE_KEY_B64'].includes(name);
  return isKey && file && schemeOf(value) === undefined ? pathToFileURL(resolve(file)).href : value;
}
