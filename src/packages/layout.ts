/**
 * The layout of the packages folder:
 *
 *     <dir>/<AppleItemID>/current                     link to the version that is offered
 *     <dir>/<AppleItemID>/versions/<AppleVersionID>   link to its newest revision; Apple adds deltas later
 *                                                     (docs/apple-facts.md §5.4)
 *     <dir>/<AppleItemID>/versions/<AppleVersionID>.<revision>           a whole package, as iOS expects it
 *     <dir>/<AppleItemID>/versions/<AppleVersionID>.<revision>.partial   a package that is being pulled
 *
 * A reader sees every change as one rename. The name of a revision contains the digests of the two files for which the
 * manifest has none: 16 hex digits of the SHA-256 of `manifest.json`, then of `signature`.
 */

import { createHash, randomUUID } from 'node:crypto';
import { open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isAppleId } from '../apple-id.ts';

const DIGEST_DIGITS = 16;

export const versionsFolder = (dir: string, appleItemId: string) => join(dir, appleItemId, 'versions');
/** The link to a version. */
export const versionFolder = (dir: string, appleItemId: string, appleVersionId: string) =>
  join(versionsFolder(dir, appleItemId), appleVersionId);

/** One whole package. */
export type Revision = { readonly appleItemId: string; readonly appleVersionId: string; readonly revision: string };
export const revisionFolder = (dir: string, { appleItemId, appleVersionId, revision }: Revision) =>
  `${versionFolder(dir, appleItemId, appleVersionId)}.${revision}`;
export const partialFolder = (dir: string, revision: Revision) => `${revisionFolder(dir, revision)}.partial`;

/** The digits of SHA-256 that are part of a revision's name. */
export const shortDigest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, DIGEST_DIGITS);
export const revisionOf = (manifest: Uint8Array, signature: Uint8Array): string =>
  shortDigest(manifest) + shortDigest(signature);

/** The digests in the name of a revision's folder; undefined for other folders. */
export function digestsInName(folder: string): { readonly manifest: string; readonly signature: string } | undefined {
  const found = /^\d+\.([0-9a-f]{16})([0-9a-f]{16})(\.partial)?$/.exec(basename(folder));
  return found?.[1] && found[2] ? { manifest: found[1], signature: found[2] } : undefined;
}

/** Returns the AppleVersionIDs of an app's complete packages, in no particular order. */
export async function versionsIn(dir: string, appleItemId: string): Promise<string[]> {
  return (await namesIn(versionsFolder(dir, appleItemId))).filter(isAppleId);
}

/** Returns the current revision of a version; undefined if there is none. */
export async function revisionIn(
  dir: string,
  appleItemId: string,
  appleVersionId: string,
): Promise<string | undefined> {
  return (await linkedName(versionFolder(dir, appleItemId, appleVersionId)))?.slice(appleVersionId.length + 1);
}

/** The AppleVersionID that `current` points to, if it exists. */
export async function currentIn(dir: string, appleItemId: string): Promise<string | undefined> {
  const name = await linkedName(join(dir, appleItemId, 'current'));
  return isAppleId(name) ? name : undefined;
}

/** Renames a pulled revision, and makes it the current one of its version. All its files must have been synced. */
export async function finish(dir: string, revision: Revision): Promise<void> {
  const { appleItemId, appleVersionId } = revision;
  const folder = revisionFolder(dir, revision);
  await rename(partialFolder(dir, revision), folder);
  await pointTo(versionFolder(dir, appleItemId, appleVersionId), basename(folder));
}

/** Points `current` to a version. */
export const switchTo = (dir: string, appleItemId: string, appleVersionId: string): Promise<void> =>
  pointTo(join(dir, appleItemId, 'current'), join('versions', appleVersionId));

/** Hides a version from readers; `removeLeftovers` then deletes its files. */
export async function removeVersion(dir: string, appleItemId: string, appleVersionId: string): Promise<void> {
  await rm(versionFolder(dir, appleItemId, appleVersionId), { force: true });
}

/** Deletes everything that no link points to: replaced and removed revisions, and partial ones other than `keep`. */
export async function removeLeftovers(dir: string, appleItemId: string, keep?: string): Promise<void> {
  const versions = versionsFolder(dir, appleItemId);
  const linked = await Promise.all((await versionsIn(dir, appleItemId)).map((id) => linkedName(join(versions, id))));
  for (const name of await namesIn(versions))
    if (!isAppleId(name) && !linked.includes(name) && name !== keep)
      await rm(join(versions, name), { recursive: true, force: true });
  for (const name of await namesIn(join(dir, appleItemId)))
    if (name.startsWith('current.')) await rm(join(dir, appleItemId, name), { force: true });
}

/** Syncs a folder, so that renamed and new entries survive a power failure. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

/** Returns the names in a folder; none if it does not exist. */
export const namesIn = (path: string): Promise<string[]> => orAbsent(readdir(path), []);

/** Creates or replaces a link, atomically and durably. */
async function pointTo(link: string, target: string): Promise<void> {
  const draft = `${link}.${randomUUID()}`;
  await symlink(target, draft);
  await rename(draft, link);
  await syncFolder(join(link, '..'));
}

async function linkedName(link: string): Promise<string | undefined> {
  const target = await orAbsent<string | undefined>(readlink(link), undefined);
  return target && basename(target);
}

/** Returns the result of `reading`, or `otherwise` if there is no such file. */
export async function orAbsent<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw error;
  }
}
