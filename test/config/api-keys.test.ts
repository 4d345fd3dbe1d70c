/** Files of API keys that other programs rewrite: no moment of a rewrite revokes a key, and a revoked key is refused within a second. */

import { chmodSync, renameSync, rmSync, unwatchFile, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { watchApiKeys } from '../../src/config/api-keys.ts';
import { readConfig } from '../../src/config/config.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { settingsIn, settingsOfApps } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const DIGEST = 'a'.repeat(64);

type Form = {
  /** Settings that read the keys from `file`. */
  settings(folder: string, file: string): Readonly<Record<string, string | undefined>>;
  /** The text of the file with these keys. */
  text(names: readonly string[]): string;
  /** The start of the text with the keys a and b, which is valid but has only the key a. */
  readonly shorter: string;
};

const entry = (name: string) => `  - {name: ${name}, sha256: ${DIGEST}}\n`;
const app = `apps:
  - {bundleId: com.example.a, appleItemId: "6500000001", key: "file:///none.pem"}
apiKeys:
`;

const forms: Readonly<Record<string, Form>> = {
  WEBDIST_API_KEYS_FILE: {
    settings: (folder, file) => settingsIn(folder, { WEBDIST_API_KEYS_FILE: file }),
    text: (names) => `${names.map((name) => `${name}:${DIGEST}`).join(',')}\n`,
    shorter: `a:${DIGEST}`,
  },
  WEBDIST_CONFIG: {
    settings: (folder, file) => ({ ...settingsOfApps(folder, 1), WEBDIST_CONFIG: file }),
    text: (names) => app + names.map(entry).join(''),
    shorter: app + entry('a'),
  },
};

/** Follows the file, which has the keys a and b, and records what happens: the names in force, `invalid` or `recovered`. */
function follow(t: Test, { settings, text }: Form) {
  const folder = temporaryFolder(t);
  const file = join(folder, 'keys');
  writeFileSync(file, text(['a', 'b']));
  const env = settings(folder, file);
  const events: string[] = [];
  watchApiKeys(env, readConfig(env).callers.apiKeys, {
    changed: (keys) => events.push(keys.map(({ name }) => name).join(' ')),
    invalid: () => events.push('invalid'),
    recovered: () => events.push('recovered'),
  });
  t.teardown(() => unwatchFile(file));
  return { file, events, seen: (event: string) => until(() => events.at(-1) === event, `${event} after ${events}`) };
}

/** Longer than a poll, and shorter than the time for which a file must stay the same. */
const A_MOMENT_MS = 220;

for (const [variable, form] of Object.entries(forms)) {
  const next = form.text(['b', 'c']);
  const moments: Readonly<Record<string, (file: string) => void>> = {
    empty: (file) => writeFileSync(file, ''),
    'half of a line': (file) => writeFileSync(file, next.slice(0, -40)),
    'a valid list that is not complete': (file) => writeFileSync(file, form.shorter),
    'no file': (file) => rmSync(file),
    'white space': (file) => writeFileSync(file, ' \n'),
  };
  t.test(`${variable}: a rewrite in place is read once it is complete`, async (t) => {
    const tried = Object.entries(moments).map(async ([name, moment]) => {
      const { file, events, seen } = follow(t, form);
      moment(file);
      await delay(A_MOMENT_MS);
      writeFileSync(file, next);
      await seen('b c');
      t.strictSame(events, ['b c'], name);
    });
    await Promise.all(tried);
  });

  const lasting: typeof moments = {
    'half of a line': (file) => writeFileSync(file, next.slice(0, -40)),
    'no file': (file) => rmSync(file),
    'a folder': (file) => {
      rmSync(file);
      renameSync(temporaryFolder(t), file);
    },
    ...(process.getuid?.() !== 0 && { unreadable: (file: string) => chmodSync(file, 0) }),
  };
  t.test(`${variable}: a file that cannot be used changes nothing, and is reported once`, async (t) => {
    const tried = Object.entries(lasting).map(async ([name, damage]) => {
      const { file, events, seen } = follow(t, form);
      damage(file);
      await seen('invalid');
      rmSync(file, { recursive: true, force: true });
      writeFileSync(`${file}.next`, form.text(['a', 'b']));
      renameSync(`${file}.next`, file);
      await seen('recovered');
      t.strictSame(events, ['invalid', 'recovered'], name);
      writeFileSync(file, next);
      await seen('b c');
    });
    await Promise.all(tried);
  });
}

t.test('an empty list revokes the last key', async (t) => {
  const empty = { WEBDIST_API_KEYS_FILE: ' \n', WEBDIST_CONFIG: app.replace('apiKeys:\n', '') };
  for (const [variable, text] of Object.entries(empty)) {
    const { file, events, seen } = follow(t, forms[variable] as Form);
    writeFileSync(file, text);
    await seen('');
    t.strictSame(events, [''], variable);
  }
});

t.test('a broken file of the apps does not keep a key of the other file in force', async (t) => {
  const folder = temporaryFolder(t);
  const { WEBDIST_CONFIG: config, ...settings } = settingsOfApps(folder, 1);
  const keys = join(folder, 'keys');
  writeFileSync(keys, `a:${DIGEST},b:${DIGEST}`);
  const env = { ...settings, WEBDIST_CONFIG: config, WEBDIST_API_KEYS_FILE: keys };
  const { apiKeys } = readConfig(env).callers;
  const events: string[] = [];
  const invalid = () => events.push('invalid');
  const recovered = () => events.push('recovered');
  watchApiKeys(env, apiKeys, {
    changed: (now) => events.push(now.map(({ name }) => name).join(' ')),
    invalid,
    recovered,
  });
  for (const file of [keys, String(config)]) t.teardown(() => unwatchFile(file));
  writeFileSync(String(config), 'apps: [');
  writeFileSync(keys, `b:${DIGEST}`);
  await until(() => events.length > 0, 'the changed keys');
  t.strictSame(events, ['b']);
});

t.test('a change between the reading of the settings and the first poll is noticed', async (t) => {
  const folder = temporaryFolder(t);
  const file = join(folder, 'keys');
  writeFileSync(file, `a:${DIGEST}`);
  const env = settingsIn(folder, { WEBDIST_API_KEYS_FILE: file });
  const { apiKeys } = readConfig(env).callers;
  writeFileSync(file, `b:${DIGEST}`);
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  watchApiKeys(env, apiKeys, {
    changed: (keys) => resolve(keys[0]?.name),
    invalid: () => resolve('invalid'),
    recovered: () => resolve('recovered'),
  });
  t.teardown(() => unwatchFile(file));
  const waiting = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(waiting));
  t.equal(await promise, 'b');
});
