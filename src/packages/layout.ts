/**
 * How packages lie in their folder:
 *
 *     <dir>/<AppleItemID>/current                     link to the version that is given out
 *     <dir>/<AppleItemID>/versions/<AppleVersionID>   link to its newest revision: Apple adds deltas later (§5.4)
 *     <dir>/<AppleItemID>/versions/<AppleVersionID>.<revision>           a whole package, as iOS expects it
 *     <dir>/<AppleItemID>/versions/<AppleVersionID>.<revision>.partial   one being pulled
 *
 * Every change a reader could see is one rename. A revision is named by the digests of the two files the manifest has no
 * digest of: 16 hex digits of the SHA-256 of `manifest.json`, then of `signature`. Must not know where packages come from.
 */

import { createHash, randomUUID } from 'node:crypto';
import { open, readdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { isAppleId } from '../apple-id.ts';

const DIGEST_DIGITS = 16;

export const versionsFolder = (dir: string, appleItemId: string) => join(dir, appleItemId, 'versions');
/** The link under which a version is found. */
export const versionFolder = (dir: string, appleItemId: string, appleVersionId: string) =>
  join(versionsFolder(dir, appleItemId), appleVersionId);

/** One whole package, and what it is called while it is pulled. */
export type Revision = { readonly appleItemId: string; readonly appleVersionId: string; readonly revision: string };
export const revisionFolder = (dir: string, { appleItemId, appleVersionId, revision }: Revision) =>
  `${versionFolder(dir, appleItemId, appleVersionId)}.${revision}`;
export const partialFolder = (dir: string, revision: Revision) => `${revisionFolder(dir, revision)}.partial`;

/** Hex digits of SHA-256 by which a revision names a file. */
export const shortDigest = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, DIGEST_DIGITS);
export const revisionOf = (manifest: Uint8Array, signature: Uint8Array): string =>
  shortDigest(manifest) + shortDigest(signature);

/** The digests that the name of a folder promises, if it is one of ours. */
export function promisedBy(folder: string): { readonly manifest: string; readonly signature: string } | undefined {
  const found = /^\d+\.([0-9a-f]{16})([0-9a-f]{16})(\.partial)?$/.exec(basename(folder));
  return found?.[1] && found[2] ? { manifest: found[1], signature: found[2] } : undefined;
}

/** AppleVersionIDs of the whole packages of an app, in no order. */
export async function versionsIn(dir: string, appleItemId: string): Promise<string[]> {
  return (await namesIn(versionsFolder(dir, appleItemId))).filter(isAppleId);
}

/** The revision a version is of now; undefined when it is not there. */
export async function revisionIn(
  dir: string,
  appleItemId: string,
  appleVersionId: string,
): Promise<string | undefined> {
  return (await linkedName(versionFolder(dir, appleItemId, appleVersionId)))?.slice(appleVersionId.length + 1);
}

/** AppleVersionID that `current` points to, if it is there. */
export async function currentIn(dir: string, appleItemId: string): Promise<string | undefined> {
  const name = await linkedName(join(dir, appleItemId, 'current'));
  return isAppleId(name) ? name : undefined;
}

/** Gives a pulled revision its name and makes it the one its version is of. Everything in it must have been synced. */
export async function finish(dir: string, revision: Revision): Promise<void> {
  const { appleItemId, appleVersionId } = revision;
  const folder = revisionFolder(dir, revision);
  await rename(partialFolder(dir, revision), folder);
  await pointTo(versionFolder(dir, appleItemId, appleVersionId), basename(folder));
}

/** Points `current` to a version. */
export const switchTo = (dir: string, appleItemId: string, appleVersionId: string): Promise<void> =>
  pointTo(join(dir, appleItemId, 'current'), join('versions', appleVersionId));

/** Takes a version away from readers; `removeLeftovers` then deletes its files. */
export async function removeVersion(dir: string, appleItemId: string, appleVersionId: string): Promise<void> {
  await rm(versionFolder(dir, appleItemId, appleVersionId), { force: true });
}

/** Deletes what no link points to: replaced and removed revisions, drafts of runs that were killed. `keep` is a partial. */
export async function removeLeftovers(dir: string, appleItemId: string, keep?: string): Promise<void> {
  const versions = versionsFolder(dir, appleItemId);
  const linked = await Promise.all((await versionsIn(dir, appleItemId)).map((id) => linkedName(join(versions, id))));
  for (const name of await namesIn(versions))
    if (!isAppleId(name) && !linked.includes(name) && name !== keep)
      await rm(join(versions, name), { recursive: true, force: true });
  for (const name of await namesIn(join(dir, appleItemId)))
    if (name.startsWith('current.')) await rm(join(dir, appleItemId, name), { force: true });
}

/** Makes lasting what was renamed or made in a folder. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r');
  await folder.sync();
}

/** Names of what is in a folder; none when it is not there. */
export const namesIn = (path: string): Promise<string[]> => orAbsent(readdir(path), []);

/** From one moment to the next, and lasting. */
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

/** What `reading` gives, or `otherwise` when there is no such file. */
export async function orAbsent<T>(reading: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return otherwise;
    throw error;
  }
}
