/**
 * `webdist init`: asks for what a service needs, checks it at App Store Connect, creates the distribution key, and writes
 * the settings (docs/first-install.md). Nothing is written before everything was checked. Changes nothing at Apple.
 */

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { App } from '../../app-store-connect/resources.ts';
import { appStoreConnectSettings, checkedSettings, only, processEnvironment } from '../../config/config.ts';
import { configInvalid } from '../../config/problems.ts';
import { type Read, readSettings } from '../../config/read.ts';
import type { Environment } from '../../environment.ts';
import { fingerprint, spki } from '../../jws.ts';
import { isInteractive, type JsonOption, print, resultLine, say } from '../terminal.ts';
import { compare, readAccount } from './account.ts';
import { FORMAT_NAMES, type FormatName } from './format-names.ts';
import { formats } from './formats.ts';
import { newKey, type PlannedKey, planKey } from './keys.ts';
import { answerTo, askMissing, type Known, type KnownOptions, knownFrom } from './known.ts';
import { nextCommands } from './next-commands.ts';
import type { KeySetting, Plan } from './plan.ts';
import { filesOf, missingLicence, writeFiles } from './write.ts';

type Options = JsonOption &
  KnownOptions & {
    readonly dryRun?: boolean;
    readonly app?: string;
    readonly format?: FormatName;
    readonly out?: string;
  };

/** What was checked and written, for the report. */
export type Initialized = {
  readonly format: FormatName;
  readonly app: App;
  readonly domain: string;
  /** The fingerprint of the distribution key; undefined if several locators are given. */
  readonly fingerprint: string | undefined;
  readonly isNewKey: boolean;
  readonly checks: ReturnType<typeof compare>;
  /** The paths of the files. */
  readonly files: readonly string[];
  /** The settings of the licence server that are not set yet. */
  readonly missing: readonly string[];
  /** The commands that start the service. */
  readonly start: readonly string[];
  /** The commands that fetch the package and check everything. */
  readonly next: readonly string[];
};

export async function init(options: Options): Promise<void> {
  const { checks, ...done } = await initialize(options, processEnvironment());
  print({ ...(options.dryRun && { dryRun: true }), checks, ...done }, options.json, [
    ...checks.map(({ result, text }) => resultLine(result, text)),
    ...(done.missing.length === 0 ? [] : [resultLine('warn', `licence  not set: ${done.missing.join(', ')}`)]),
    '',
    ...done.files.map((file) => `${options.dryRun ? 'would write' : 'wrote'} ${file}`),
    ...(done.isNewKey && !options.dryRun ? ['The distribution key is new. Back it up: Apple has no copy.'] : []),
    '',
    'Start the service with:',
    ...done.start.map((command) => `  ${command}`),
    ...(done.next.length > 0 ? ['', 'Then fetch the package, and check everything:'] : []),
    ...done.next.map((command) => `  ${command}`),
  ]);
}

/** Does the work of `init`. Throws `usage_invalid`, `config_invalid`, `state_invalid`, `key_*` and `asc_*`. */
export async function initialize(options: Options, env: Environment): Promise<Initialized> {
  const folder = resolve(options.out ?? '.');
  const known = await knownFrom(folder, env, options);
  await askMissing(known);
  const all = { ...env, ...known };
  const read = readSettings(all);
  const { privateKey } = appStoreConnectSettings(read);
  const domain = only(['WEBDIST_DOMAIN'], read).WEBDIST_DOMAIN ?? '';
  const account = await readAccount(options.app ?? known['WEBDIST_BUNDLE_ID'], all);
  const keys: Record<KeySetting, PlannedKey> = {
    WEBDIST_KEY: await distributionKey(read, all),
    ASC_PRIVATE_KEY: await planKey(privateKey, 'ASC_PRIVATE_KEY', all),
  };
  const checks = compare(account, domain, keys.WEBDIST_KEY);
  const format = await formatFor(folder, options.format);
  const settings = settingsFor({ ...known, WEBDIST_DOMAIN: domain }, account.app, keys);
  for (const name of formats[format].without) delete settings[name];
  refuseInvalid({ WEBDIST_KEY: 'file:///new', ASC_PRIVATE_KEY: 'file:///new', ...settings });
  const { publicKey, isNew, create } = keys.WEBDIST_KEY;
  const pems = Object.fromEntries(Object.entries(keys).flatMap(([name, { pem }]) => (pem ? [[name, pem]] : [])));
  const plan: Plan = { folder, settings, pems, owner: ownerFor(format) };
  let files = await filesOf(plan, format);
  if (!options.dryRun) {
    const created = await create?.();
    const made = created === undefined ? plan : { ...plan, settings: { ...settings, WEBDIST_KEY: created } };
    files = await filesOf(made, format);
    await writeFiles(made, files);
  }
  return {
    format,
    app: account.app,
    domain,
    fingerprint: publicKey && fingerprint(spki(publicKey)),
    isNewKey: isNew,
    checks,
    files: files.map(({ path }) => path),
    missing: missingLicence(settings),
    start: formats[format].start(folder),
    next: nextCommands(format, folder),
  };
}

/** Returns the distribution key: the known one, or the one in the answer, or by default a new one. */
async function distributionKey(read: Read, env: Environment): Promise<PlannedKey> {
  const given = only(['WEBDIST_KEY'], read).WEBDIST_KEY?.join(' ');
  if (given !== undefined) return planKey(given, 'WEBDIST_KEY', env);
  if (!isInteractive()) return newKey();
  const text = 'Where to keep the distribution key: "file" for a new file, or a locator (docs/keys)';
  const answer = await answerTo({ text, form: 'WEBDIST_KEY' }, NEW_FILE);
  return answer === NEW_FILE ? newKey() : planKey(answer, 'WEBDIST_KEY', env);
}

const NEW_FILE = 'file';

/** The settings without the locators of the keys that go into the folder `secrets`. */
function settingsFor(known: Known, app: App, keys: Readonly<Record<KeySetting, PlannedKey>>): Known {
  const settings: Known = {
    ...known,
    WEBDIST_APPLE_ITEM_ID: app.appleItemId,
    WEBDIST_BUNDLE_ID: app.bundleId,
  };
  // `webdist packages pull` fetches the package; the website serves the folder here.
  if (!known['WEBDIST_PACKAGE_URL']) settings['WEBDIST_PACKAGES_URL'] ??= `https://${known['WEBDIST_DOMAIN']}/adp`;
  for (const [setting, { locators }] of Object.entries(keys)) {
    for (const end of ['', '_FILE', '_PATH', '_B64']) delete settings[setting + end];
    if (locators !== undefined) settings[setting] = locators;
  }
  return settings;
}

/** Reports invalid settings in the same words as the service. */
function refuseInvalid(settings: Known): void {
  const { problems } = checkedSettings(readSettings(settings));
  if (problems.length > 0) throw configInvalid(problems);
}

/** Returns the format: that of the option, of an earlier run, or of the answer. */
async function formatFor(folder: string, chosen: FormatName | undefined): Promise<FormatName> {
  if (chosen !== undefined) return chosen;
  const before = await readFile(join(folder, '.env'), 'utf8').catch(() => '');
  const earlier = isFormat(/^# .*Format: (\w+)\.$/m.exec(before)?.[1]);
  if (earlier || !isInteractive()) return earlier ?? 'env';
  say('What to write:');
  for (const name of FORMAT_NAMES) say(`  ${name.padEnd(10)}  ${formats[name].about}`);
  for (;;) {
    const format = isFormat(await answerTo({ text: 'Format' }, 'env'));
    if (format) return format;
    say(`Choose one of ${FORMAT_NAMES.join(', ')}.`);
  }
}

const isFormat = (text: string | undefined) => FORMAT_NAMES.find((name) => name === text);

/** The user of the image, which could not read files that belong to root. */
const IMAGE_USER = { uid: 65532, gid: 65532 };

function ownerFor(format: FormatName): Plan['owner'] {
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
  return uid === 0 && format === 'compose' ? IMAGE_USER : { uid, gid };
}
