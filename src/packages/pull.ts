/**
 * Pulls one package into the packages folder: first the archive, then the files, then one atomic switch. If the process
 * is killed, the earlier versions are unchanged, and the next run continues where it stopped.
 */

import { link, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { WebdistError } from '../errors.ts';
import { openFileLock } from '../file-lock.ts';
import { fileProblem, makeFolder } from '../file-problem.ts';
import { readUrl } from '../outbound.ts';
import { type Archive, readArchive } from './archive.ts';
import { download, fullDisk, type Source } from './download.ts';
import {
  currentIn,
  finish,
  namesIn,
  partialFolder,
  type Revision,
  removeLeftovers,
  removeVersion,
  revisionFolder,
  revisionIn,
  revisionOf,
  switchTo,
  syncFolder,
  versionFolder,
  versionsFolder,
  versionsIn,
} from './layout.ts';
import { type Asset, assetsOf, readManifestFile } from './manifest.ts';
import { checkAsset } from './verify.ts';
import { type AppVersion, compareVersions } from './versions.ts';

/** The source that a package is pulled from. */
export interface PackageSource {
  /** Finds the zip with manifest and signature. */
  readonly archive: Source;
  /** Finds one file in the manifest. */
  asset(asset: Asset): ReturnType<Source>;
}

export type PullOptions = {
  /** The packages folder. */
  readonly dir: string;
  readonly app: { readonly appleItemId: string; readonly bundleId: string };
  readonly source: PackageSource;
  /** The number of versions to keep, including this one. */
  readonly keep: number;
  /** An AppleVersionID that is never removed: the one that an operator ordered services to use. */
  readonly used?: string | undefined;
  /** Called before the package is moved into place. With this callback, `current` does not change. */
  readonly stage?: ((appleVersionId: string) => Promise<void>) | undefined;
  readonly onFile?: (asset: Asset, bytes: number, total: number | undefined) => void;
  readonly backoffMs?: number;
};

export type Pulled = {
  readonly appleVersionId: string;
  /** False if the package was already there. */
  readonly isNew: boolean;
  /** Whether links now install this version. */
  readonly isCurrent: boolean;
  readonly removed: readonly string[];
};

/** Throws `package_invalid`, `asc_…`, and `state_invalid` if the disk is full or another pull of this app is running. */
export async function pullPackage(options: PullOptions): Promise<Pulled> {
  const { dir, app } = options;
  try {
    makeFolder(versionsFolder(dir, app.appleItemId), 0o777);
    using _ = lock(join(dir, app.appleItemId, 'pull.lock'));
    return await pull(options);
  } catch (error) {
    throw fullDisk(error) ?? fileProblem(error, dir, 'WEBDIST_PACKAGES_DIR') ?? error;
  }
}

/** The version that `pullPackage` would fetch, and whether it is missing here. Changes nothing. Throws the same errors. */
export async function plannedPull(options: PullOptions): Promise<Pick<Pulled, 'appleVersionId' | 'isNew'>> {
  const { target, isNew } = await findTarget(options);
  return { appleVersionId: target.appleVersionId, isNew };
}

async function findTarget({ dir, app, source, backoffMs }: PullOptions) {
  const archive = await fetchArchive(source, backoffMs);
  const { appleItemId, bundleId, appleVersionId } = archive.manifest;
  if (appleItemId !== app.appleItemId || bundleId !== app.bundleId)
    throw new WebdistError(
      'package_invalid',
      `The package is for ${bundleId} (${appleItemId}), not for ${app.bundleId}.`,
    );
  const revision = revisionOf(archive.manifestBytes, archive.signature);
  const target: Revision = { appleItemId, appleVersionId, revision };
  return { archive, target, isNew: (await revisionIn(dir, appleItemId, appleVersionId)) !== revision };
}

async function pull(options: PullOptions): Promise<Pulled> {
  const { dir, source, keep, used, stage, onFile, backoffMs } = options;
  const { archive, target, isNew } = await findTarget(options);
  const { appleItemId, appleVersionId } = target;
  if (isNew) {
    const folder = partialFolder(dir, target);
    await removeLeftovers(dir, appleItemId, folder.slice(versionsFolder(dir, appleItemId).length + 1));
    // A run that was killed between its last two steps has left the complete package behind.
    await rm(revisionFolder(dir, target), { recursive: true, force: true });
    await mkdir(folder, { recursive: true });
    await writeFiles(folder, archive);
    for (const asset of assetsOf(archive.manifest)) {
      if (await reuse(versionFolder(dir, appleItemId, appleVersionId), folder, asset)) continue;
      await download({
        folder,
        asset,
        source: () => source.asset(asset),
        onBytes: onFile && ((bytes, total) => onFile(asset, bytes, total)),
        ...(backoffMs !== undefined && { backoffMs }),
      });
    }
    await syncTree(folder);
    await stage?.(appleVersionId);
    await finish(dir, target);
  }
  const removed = await tidy(dir, appleItemId, { keep, used, isStaged: stage !== undefined });
  const isCurrent = (await currentIn(dir, appleItemId)) === appleVersionId;
  return { appleVersionId, isNew, isCurrent, removed };
}

/** A manifest and a signature. */
const MAX_ARCHIVE_BYTES = 64 * 1024 * 1024;

/** The archive is small. After a failure, it is fetched again from the start, from a new URL. */
async function fetchArchive(source: PackageSource, backoffMs = 500): Promise<Archive> {
  for (let failures = 0; ; failures++) {
    const { url, checksum } = await source.archive();
    try {
      const { bytes } = await readUrl(url, { maxBytes: MAX_ARCHIVE_BYTES, timeoutMs: 60_000, maxRedirects: 3 });
      return readArchive(bytes, checksum);
    } catch (cause) {
      if (failures === 2)
        throw cause instanceof WebdistError
          ? cause
          : new WebdistError('asc_outage', 'The package archive cannot be fetched.', { cause });
      await delay(Math.random() * backoffMs * 2 ** failures);
    }
  }
}

async function writeFiles(folder: string, { manifestBytes, signature }: Archive): Promise<void> {
  for (const [name, bytes] of [
    ['manifest.json', manifestBytes],
    ['signature', signature],
  ] as const) {
    await using file = await open(join(folder, name), 'w');
    await file.writeFile(bytes);
    await file.sync();
  }
}

/** Reuses a file from a run that was killed, or from the previous revision, to which Apple added deltas. Returns whether it did. */
async function reuse(before: string, folder: string, asset: Asset): Promise<boolean> {
  if (typeof (await checkAsset(folder, asset)) === 'number') return true;
  await rm(join(folder, asset.path), { force: true });
  if (typeof (await checkAsset(before, asset)) !== 'number') return false;
  await mkdir(join(folder, asset.kind), { recursive: true });
  await link(join(before, asset.path), join(folder, asset.path));
  return true;
}

async function syncTree(folder: string): Promise<void> {
  const names = await namesIn(folder);
  for (const kind of ['variant', 'delta']) if (names.includes(kind)) await syncFolder(join(folder, kind));
  await syncFolder(folder);
}

type Tidy = { readonly keep: number; readonly used: string | undefined; readonly isStaged: boolean };

/**
 * Points `current` to the newest version, unless that is staged, and removes all versions but the newest `keep` and those in
 * use. Returns the removed ones.
 */
async function tidy(dir: string, appleItemId: string, { keep, used, isStaged }: Tidy): Promise<string[]> {
  const ids = await versionsIn(dir, appleItemId);
  const versions = await Promise.all(ids.map((id) => versionInfo(dir, appleItemId, id)));
  const newestFirst = versions.toSorted(compareVersions).reverse();
  const newest = newestFirst[0]?.appleVersionId;
  const before = await currentIn(dir, appleItemId);
  const current = isStaged && before !== undefined ? before : newest;
  if (current !== undefined && current !== before) await switchTo(dir, appleItemId, current);
  const removed = newestFirst
    .slice(keep)
    .map(({ appleVersionId }) => appleVersionId)
    .filter((id) => id !== current && id !== used);
  for (const id of removed) await removeVersion(dir, appleItemId, id);
  await removeLeftovers(dir, appleItemId);
  return removed;
}

/** What `compareVersions` needs. */
async function versionInfo(
  dir: string,
  appleItemId: string,
  id: string,
): Promise<Partial<AppVersion> & { appleVersionId: string }> {
  const path = join(versionFolder(dir, appleItemId, id), 'manifest.json');
  const { shortVersionString, bundleVersion } = await readManifestFile(path);
  return { appleVersionId: id, shortVersionString, bundleVersion };
}

/** Keeps other processes from pulling the same app. Throws `state_invalid` if one is already pulling it. */
function lock(path: string): Disposable {
  const file = openFileLock(path, 'WEBDIST_PACKAGES_DIR');
  if (!file.tryLock()) {
    file.close();
    throw new WebdistError('state_invalid', 'Another `webdist packages pull` of this app is running.', {
      hint: 'Wait until it ends.',
    });
  }
  return { [Symbol.dispose]: () => file.close() };
}
