/** Writes the plan. Only their owner can read files with secrets. A private key is never replaced by another one. */

import { createPrivateKey } from 'node:crypto';
import { chmod, chown, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WebdistError } from '../../errors.ts';
import { makeFolder, withFileProblems } from '../../file-problem.ts';
import { readPrivateKey } from '../../signer/pem.ts';
import { readEnvFile } from './env-file.ts';
import type { FormatName } from './format-names.ts';
import { formats, MARK } from './formats.ts';
import { KEY_FILES, type KeySetting, type Plan } from './plan.ts';

const LICENCE_NAMES = ['DYNAMIC', 'RENEWAL', 'RESOLUTION', 'SIGNING_CERTIFICATE', 'ENCRYPTION_CERTIFICATE'];

/** The settings of the licence server that are not set yet; no app is installed without them. */
export const missingLicence = (settings: Plan['settings']): string[] =>
  LICENCE_NAMES.map((name) => `WEBDIST_LICENSE_${name}_URL`).filter((name) => !settings[name]);

type File = { readonly path: string; readonly text: string; readonly mode: number };

/**
 * Returns the files of a plan that are not there yet or are to be replaced. Throws `state_invalid` if a file must not be
 * replaced.
 */
export async function filesOf(plan: Plan, format: FormatName): Promise<readonly File[]> {
  const { files, env } = formats[format];
  const keys = await Promise.all(
    Object.entries(plan.pems).map(([setting, text]) => keyFile(plan.folder, setting as KeySetting, text)),
  );
  const others = Object.entries(files(plan)).map(([name, text]) => ({
    path: join(plan.folder, name),
    text,
    mode: 0o644,
  }));
  for (const { path } of others) await refuseForeign(path);
  const path = join(plan.folder, '.env');
  const head = headOf(plan, format);
  const { comments } = await readEnvFile(path);
  const kept = comments.filter((line) => !isOwn(line)).map((line) => `${line}\n`);
  const settings = { path, text: [head, ...kept, env(plan)].join(''), mode: 0o600 };
  return [...keys.flat(), settings, ...others];
}

/** Returns the file of a private key to write; none if the file already contains this key. */
async function keyFile(folder: string, setting: KeySetting, pem: string): Promise<readonly File[]> {
  const path = join(folder, 'secrets', KEY_FILES[setting]);
  const before = await readFile(path, 'utf8').catch(() => undefined);
  const isSame = before !== undefined && readPrivateKey(before).key.equals(createPrivateKey(pem));
  if (setting === 'WEBDIST_KEY' && before !== undefined && !isSame)
    throw new WebdistError('state_invalid', `${path} holds another distribution key, and was not changed.`, {
      hint: 'Use another folder (--out), or move that file.',
    });
  return isSame ? [] : [{ path, text: pem, mode: 0o600 }];
}

/** Writes files of a plan, and creates its folders. Throws `state_invalid`. */
export async function writeFiles(plan: Plan, files: readonly File[]): Promise<void> {
  for (const name of ['secrets', 'data']) {
    const folder = join(plan.folder, name);
    await withFileProblems(folder, '--out', async () => {
      makeFolder(folder, 0o700);
      await own(folder, plan);
    });
  }
  for (const { path, text, mode } of files)
    await withFileProblems(path, '--out', async () => {
      await writeFile(path, text, { mode });
      await chmod(path, mode);
      await own(path, plan);
    });
}

/** Whether an earlier run wrote this comment; it may no longer be true. */
const isOwn = (comment: string) =>
  /^# (Settings of webdist|When "webdist init"|Nothing is installed without a licence)/.test(comment) ||
  /^#WEBDIST_LICENSE_\w+_URL=$/.test(comment);

function headOf({ settings }: Plan, format: FormatName): string {
  const missing = missingLicence(settings);
  return [
    `# Settings of webdist (docs/settings.md). Format: ${format}.`,
    '# When "webdist init" runs again, it keeps these settings.',
    ...(missing.length > 0
      ? ['# Nothing is installed without a licence server (docs/first-install.md). Set its URLs:']
      : []),
    ...missing.map((name) => `#${name}=`),
    '',
  ].join('\n');
}

/** A file that `init` did not write is not replaced. */
async function refuseForeign(path: string): Promise<void> {
  const before = await readFile(path, 'utf8').catch(() => undefined);
  if (before === undefined || before.startsWith(MARK)) return;
  throw new WebdistError('state_invalid', `${path} was not written by webdist init, and was not changed.`, {
    hint: 'Use another folder (--out).',
  });
}

/** If the service runs as another user, the files must belong to that user. Only root can arrange this. */
async function own(path: string, { owner }: Plan): Promise<void> {
  if (process.getuid?.() === 0 && owner.uid !== 0) await chown(path, owner.uid, owner.gid);
}
