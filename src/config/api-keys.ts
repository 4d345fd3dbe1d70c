/** The API keys of servers: from WEBDIST_API_KEYS, or from the file of WEBDIST_CONFIG, which can also list the apps of a key. */

import type { Environment } from '../environment.ts';
import { type ApiKeyEntry, readConfigFile } from './apps-file.ts';
import { asGiven, concerns, type Problem } from './problems.ts';
import { type Read, readSettings } from './read.ts';
import { watchFiles } from './watch-files.ts';

/** One key, as its SHA-256. */
export type ApiKey = {
  /** For logs and metrics. */
  readonly name: string;
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  /** The install tokens per minute that it may request; absent: no limit of its own. */
  readonly tokensPerMinute?: number | undefined;
  /** Milliseconds since 1970; absent: no end. */
  readonly expiresAtMs?: number | undefined;
  /** Bundle ids or AppleItemIDs; absent: every app. */
  readonly apps?: readonly string[] | undefined;
};

const DAY_MS = 24 * 60 * 60 * 1000;

/** Returns every API key, from the settings or the file of WEBDIST_CONFIG; adds to `problems` what is wrong with them. */
export function apiKeysOf(
  { values, given }: Read,
  inFile: readonly ApiKeyEntry[] | undefined,
  problems: Problem[],
): readonly ApiKey[] {
  if (inFile && given.has('WEBDIST_API_KEYS'))
    problems.push({
      variable: 'WEBDIST_API_KEYS',
      message: 'is also set in the file of WEBDIST_CONFIG; set one of them',
    });
  const keys: readonly ApiKey[] = inFile
    ? inFile.map(({ until, ...key }) => ({ ...key, ...(until !== undefined && { expiresAtMs: endOf(until) }) }))
    : (values.WEBDIST_API_KEYS ?? []).map(keyOf);
  const variable = inFile ? 'WEBDIST_CONFIG' : 'WEBDIST_API_KEYS';
  if (new Set(keys.map(({ name }) => name)).size < keys.length)
    problems.push({ variable, message: 'two API keys have the same name' });
  return keys;
}

function keyOf(entry: string): ApiKey {
  const [name = '', sha256 = '', tokens = '', until] = entry.split(':');
  return {
    name,
    sha256,
    ...(tokens !== '' && { tokensPerMinute: Number(tokens) }),
    ...(until !== undefined && { expiresAtMs: endOf(until) }),
  };
}

/** The key is valid until the end of that day (UTC). */
const endOf = (date: string) => Date.parse(`${date}T00:00:00Z`) + DAY_MS;

export type ApiKeyEvents = {
  /** The keys that are valid from now on. */
  readonly changed: (keys: readonly ApiKey[]) => void;
  /** Called once for each reason why the files cannot be used. The keys stay as they were. */
  readonly invalid: (problems: readonly Problem[]) => void;
  /** Called when the files can be used again. */
  readonly recovered: () => void;
};

/** Reads the API keys again when a file that they come from changes, until the process ends. `current` are those in force. */
export function watchApiKeys(env: Environment, current: readonly ApiKey[], events: ApiKeyEvents): void {
  const paths = ['WEBDIST_API_KEYS_FILE', 'WEBDIST_CONFIG'].flatMap((name) => env[name]?.trim() || []);
  let known = JSON.stringify(current);
  let failure: string | undefined;
  const readAgain = () => {
    const { keys, problems } = readApiKeys(env);
    if (problems.length > 0) {
      const reason = JSON.stringify(problems);
      if (reason !== failure) events.invalid(problems);
      failure = reason;
      return;
    }
    if (failure !== undefined) events.recovered();
    failure = undefined;
    const text = JSON.stringify(keys);
    if (text === known) return;
    known = text;
    events.changed(keys);
  };
  watchFiles(paths, readAgain);
}

/** Reads the files. A file of API keys that is empty is a list without keys, so the last one can be revoked. */
function readApiKeys(env: Environment) {
  const read = readSettings(env);
  const { WEBDIST_CONFIG: file } = read.values;
  const configProblems: Problem[] = [];
  const inFile = file === undefined ? undefined : readConfigFile(file, configProblems)?.apiKeys;
  const problems = [
    ...read.problems.filter((problem) => concerns(problem, 'WEBDIST_API_KEYS')),
    ...(read.given.has('WEBDIST_API_KEYS') ? [] : configProblems),
  ];
  const keys = apiKeysOf(read, inFile, problems);
  return { keys, problems: asGiven(problems, read.given) };
}
