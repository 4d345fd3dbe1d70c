/** `webdist config`: checks the settings, or prints them or the schema of the apps file. */

import { appsFileSchema } from '../../config/apps-file.ts';
import { checkedSettings, processSettings } from '../../config/config.ts';
import { effectiveSettings, withoutPassword } from '../../config/effective.ts';
import { configInvalid } from '../../config/problems.ts';
import { type JsonOption, print, say, table } from '../terminal.ts';

const NO_APP = {
  sandbox: 'The simulated App Store Connect provides the app.',
  production: 'No app is configured.',
};

export function checkConfig({ json }: JsonOption): void {
  const read = processSettings();
  const { problems, warnings } = checkedSettings(read);
  for (const { variable, message } of warnings) if (!json) say(`warning: ${variable}: ${message}`);
  if (json) print({ ok: problems.length === 0, mode: read.mode, problems, warnings }, json, []);
  if (problems.length > 0 && json) process.exitCode = 1;
  else if (problems.length > 0) throw configInvalid(problems);
  else if (!json) print(undefined, false, [`The settings are valid, for ${read.mode} mode.`]);
}

export const printSchema = (): void =>
  print(undefined, false, JSON.stringify(appsFileSchema(), undefined, 2).split('\n'));

export function printConfig({ json }: JsonOption): void {
  const read = processSettings();
  const { problems, domain, apps, derived } = checkedSettings(read);
  const effective = effectiveSettings(read, derived);
  const shownApps = apps.map((app) => ({ ...app, key: app.key.map(withoutPassword) }));
  const from = read.given.get('WEBDIST_CONFIG')
    ? `the file of ${read.given.get('WEBDIST_CONFIG')}`
    : 'the settings above';
  print({ mode: read.mode, settings: effective, domain, apps: shownApps, problems }, json, [
    ...table(
      ['SETTING', 'VALUE', 'SOURCE'],
      effective.map(({ name, value, source }) => [name, value ?? '', source]),
    ),
    '',
    apps.length === 0 ? NO_APP[read.mode] : `Apps, from ${from}:`,
    ...(apps.length === 0
      ? []
      : table(
          ['BUNDLE ID', 'APPLEITEMID', 'KEY', 'PACKAGE URL'],
          shownApps.map((app) => [app.bundleId, app.appleItemId, app.key.join(' '), app.packageUrl]),
        )),
  ]);
  if (problems.length > 0) throw configInvalid(problems);
}
