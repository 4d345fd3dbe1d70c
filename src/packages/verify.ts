/**
 * Finds missing, added and changed files in a package on disk. Apple's `dist_package_tool validate` does the same, but
 * only on macOS (docs/apple-facts.md §5.4). Only iOS can verify Apple's signature itself.
 */

import { open, readdir, readFile, realpath } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { isWebdistError, WebdistError } from '../errors.ts';
import { openDigestCheck } from './digest-check.ts';
import { bytesOf } from './file-bytes.ts';
import { digestsInName, orAbsent, shortDigest } from './layout.ts';
import { type Asset, assetsOf, type Manifest, manifestSchema } from './manifest.ts';

export type PackageProblem = {
  /** The file's path in the package. */
  readonly path: string;
  readonly kind: 'missing' | 'added' | 'changed';
  readonly detail: string;
};

export type VerifiedPackage = {
  /** Undefined if the file cannot be read. */
  readonly manifest: Manifest | undefined;
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly PackageProblem[];
};

/** Reads every byte of a package. Throws `state_invalid` if there is no package, and errors of the disk. */
export async function verifyPackage(folder: string): Promise<VerifiedPackage> {
  const root = await realpath(folder).catch((cause) => {
    throw new WebdistError('state_invalid', `There is no package at ${folder}.`, { cause });
  });
  const problems: PackageProblem[] = [];
  const found = new Set(await filesBelow(root));
  const manifest = await checkManifest(root, problems);
  const assets = manifest ? assetsOf(manifest) : [];
  await checkSignature(root, problems);
  let bytes = 0;
  for (const asset of assets) {
    const checked = found.has(asset.path) ? await checkAsset(root, asset) : missing(asset.path);
    if (typeof checked === 'number') bytes += checked;
    else problems.push(checked);
  }
  const expected = new Set(['manifest.json', 'signature', ...assets.map(({ path }) => path)]);
  for (const path of manifest ? found : [])
    if (!expected.has(path))
      problems.push({
        path,
        kind: 'added',
        detail: 'is not part of the package; devices would refuse it. Delete it.',
      });
  return { manifest, files: expected.size, bytes, problems };
}

/** Returns the size of a file that matches the manifest, or the problem with the file. */
export async function checkAsset(root: string, asset: Asset): Promise<number | PackageProblem> {
  try {
    const check = openDigestCheck(asset);
    let bytes = 0;
    await using file = await open(join(root, asset.path));
    for await (const part of bytesOf(file)) {
      check.take(part);
      bytes += part.length;
    }
    check.end();
    return bytes;
  } catch (error) {
    if (isWebdistError(error)) return { path: asset.path, kind: 'changed', detail: error.detail };
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return missing(asset.path);
    throw error;
  }
}

async function checkManifest(root: string, problems: PackageProblem[]): Promise<Manifest | undefined> {
  const path = 'manifest.json';
  const bytes = await orAbsent<Buffer | undefined>(readFile(join(root, path)), undefined);
  if (!bytes) {
    problems.push(missing(path));
    return undefined;
  }
  const expected = digestsInName(root)?.manifest;
  const changed = (detail: string) => problems.push({ path, kind: 'changed', detail });
  if (expected !== undefined && shortDigest(bytes) !== expected) changed('differs from the pulled file.');
  try {
    return manifestSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch {
    changed('is not a valid manifest.');
    return undefined;
  }
}

async function checkSignature(root: string, problems: PackageProblem[]): Promise<void> {
  const path = 'signature';
  const bytes = await orAbsent<Buffer | undefined>(readFile(join(root, path)), undefined);
  const expected = digestsInName(root)?.signature;
  if (!bytes) problems.push(missing(path));
  else if (bytes.length === 0) problems.push({ path, kind: 'changed', detail: 'is empty.' });
  else if (expected !== undefined && shortDigest(bytes) !== expected)
    problems.push({ path, kind: 'changed', detail: 'differs from the pulled file.' });
}

const missing = (path: string): PackageProblem => ({ path, kind: 'missing', detail: 'is missing.' });

async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'));
}
