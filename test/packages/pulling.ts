/** A sandbox, a folder for its packages, and the commands that pull them. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { readManifestFile } from '../../src/packages/manifest.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { runWebdist } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';

export const APP = '6500000001';

export type Setting = { sandbox: Sandbox; env: Record<string, string>; dir: string };

/** An app whose package can be pulled into `dir`, with `env`. */
export async function start(t: Test, settings: Record<string, string> = {}): Promise<Setting> {
  const sandbox = await startSandbox(t);
  const dir = temporaryFolder(t);
  return {
    sandbox,
    dir,
    env: { ...sandbox.settings, WEBDIST_PACKAGES_DIR: dir, WEBDIST_DATA_DIR: temporaryFolder(t), ...settings },
  };
}

/** Runs `webdist packages …`. */
export async function run(t: Test, { env }: Pick<Setting, 'env'>, ...args: string[]) {
  const running = runWebdist(t, ['packages', ...args], env);
  return { code: await running.exited, output: running.output() };
}

export const release = ({ sandbox }: Setting, body: object = {}) =>
  fetch(`${sandbox.baseUrl}/_sandbox/packages`, { method: 'POST', body: JSON.stringify(body) });
export const slow = ({ sandbox }: Setting, bytesPerSecond: number | null) =>
  fetch(`${sandbox.baseUrl}/_sandbox/cdn`, { method: 'POST', body: JSON.stringify({ bytesPerSecond }) });
/** The paths of partial downloads that have bytes already; undefined if there are none. */
export function draftsIn(dir: string): string[] | undefined {
  const names = readdirSync(dir, { recursive: true }).map(String);
  const drafts = names.filter((name) => name.endsWith('.download') && statSync(join(dir, name)).size > 0);
  return drafts.length > 0 ? drafts : undefined;
}
export const current = (dir: string) => join(dir, APP, 'current');
export const versionOf = async (dir: string) =>
  (await readManifestFile(join(current(dir), 'manifest.json'))).appleVersionId;
