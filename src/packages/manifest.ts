/**
 * The `manifest.json` of an alternative distribution package (docs/apple-facts.md §5.3): the version, and its files
 * with their digests. The service reads it in the background. If reading fails, the last manifest is kept. Without a
 * manifest, tokens omit `iid` and `vid`, which is allowed.
 */

import { readFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { isAppleId } from '../apple-id.ts';
import { readUrl } from '../outbound.ts';

/**
 * Digests of a file in the form that Apple encrypted, one for each `chunkSize` bytes. The last chunk may be shorter.
 */
const hashes = z.object({
  algorithm: z.string(),
  chunkSize: z.int().positive(),
  encryptedChunkDigests: z.array(z.string().regex(/^[0-9a-f]+$/i)),
});

/** A path in the package in Apple's form; it cannot lead out of the package. */
const assetPath = z
  .string()
  .regex(/^(variant|delta)\/[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/, 'expected variant/… or delta/…');
const publicId = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'expected an id');
const details = z.object({ compressedSize: z.int().nonnegative().optional(), hashes: z.array(hashes) });

/** The members that webdist reads; others are ignored. */
export const manifestSchema = z.object({
  appleItemId: z.string(),
  bundleId: z.string(),
  appleVersionId: z.string().refine(isAppleId),
  shortVersionString: z.string().optional(),
  bundleVersion: z.string().optional(),
  platforms: z.array(z.string()).optional(),
  minimumSystemVersions: z.record(z.string(), z.string()).optional(),
  variants: z.array(z.object({ publicId, assetPath, variantDetails: details })).default([]),
  deltas: z.array(z.object({ publicId, assetPath, deltaDetails: details })).default([]),
});
export type Manifest = z.output<typeof manifestSchema>;

/** The members that the service needs, which exclude the list of files. */
const summarySchema = manifestSchema.omit({ variants: true, deltas: true });
export type ManifestSummary = z.output<typeof summarySchema>;

/** One file of a package, with its digests. */
export type Asset = {
  readonly kind: 'variant' | 'delta';
  readonly publicId: string;
  readonly path: string;
  readonly hashes: readonly z.output<typeof hashes>[];
};

/** Every file in the manifest, variants first, because devices need them first (docs/apple-facts.md §5.4). */
export const assetsOf = ({ variants, deltas }: Pick<Manifest, 'variants' | 'deltas'>): Asset[] => [
  ...variants.map(({ publicId, assetPath: path, variantDetails }) => ({
    kind: 'variant' as const,
    publicId,
    path,
    hashes: variantDetails.hashes,
  })),
  ...deltas.map(({ publicId, assetPath: path, deltaDetails }) => ({
    kind: 'delta' as const,
    publicId,
    path,
    hashes: deltaDetails.hashes,
  })),
];

const MAX_BYTES = 8 * 1024 * 1024;
/** A real summary has about 500 characters. A million wrong values would take minutes to report. */
const MAX_SUMMARY_CHARACTERS = 16 * 1024;
const TIMEOUT_MS = 5000;
const REFRESH_SECONDS = 300;

export type ManifestOptions = {
  readonly app: { readonly appleItemId: string; readonly bundleId: string };
  /** The URL at which `manifest.json` is read: `https:` or `file:`. */
  readonly url: string;
  readonly log: Logger;
};

/** The last manifest that could be read. */
export interface PackageManifest {
  /** AppleVersionID of the package, once known. */
  readonly appleVersionId: string | undefined;
  /** All that is read from the manifest, once known. */
  readonly summary: ManifestSummary | undefined;
  /** Why the last attempt to read the manifest failed, in words. */
  readonly problem: string | undefined;
  /** Reads the manifest again; never throws. */
  refresh(): Promise<void>;
  close(): void;
}

/** Returns a package's base URL without trailing slashes. Paths of files are appended with one slash. */
export const packageBase = (packageUrl: string): string => packageUrl.replace(/\/+$/, '');

/** Returns the URL at which an app's manifest is read; undefined if the app has no package. */
export const manifestUrlOf = (app: {
  readonly packageUrl?: string | undefined;
  readonly packageManifest?: string | undefined;
}): string | undefined => app.packageManifest ?? (app.packageUrl && `${packageBase(app.packageUrl)}/manifest.json`);

/** Reads the manifest in the background, every few minutes until `close`. Call `refresh` to read it now. */
export function watchManifest({ app, url, log }: ManifestOptions): PackageManifest {
  const timer = setInterval(() => state.refresh(), REFRESH_SECONDS * 1000 * (0.8 + Math.random() * 0.4)).unref();
  const state = {
    summary: undefined as ManifestSummary | undefined,
    problem: undefined as string | undefined,
    get appleVersionId() {
      return state.summary?.appleVersionId;
    },
    async refresh() {
      const before = state.problem;
      try {
        state.summary = readSummary(await readManifestText(url), app);
        state.problem = undefined;
      } catch (error) {
        state.problem = `The package manifest of ${app.bundleId} cannot be used.`;
        if (before === undefined)
          log.warn({ event: 'manifest_unusable', bundleId: app.bundleId, err: error }, state.problem);
      }
    },
    close: () => clearInterval(timer),
  };
  return state;
}

/** Parses a manifest. Throws if the manifest is invalid, or is not this app's. */
export function readSummary(text: string, app: ManifestOptions['app']): ManifestSummary {
  const all: unknown = JSON.parse(text);
  const members = Object.entries(all ?? {}).filter(([name]) => name in summarySchema.shape);
  const summary = Object.fromEntries(members);
  if (JSON.stringify(summary).length > MAX_SUMMARY_CHARACTERS) throw new Error('it is too long, without its files');
  const read = summarySchema.parse(summary);
  if (read.bundleId !== app.bundleId || read.appleItemId !== app.appleItemId)
    throw new Error(`it is the manifest of ${read.bundleId} (${read.appleItemId})`);
  return read;
}

/** Reads the text of a manifest at an `https:` or `file:` URL. Throws the error of reading. */
export async function readManifestText(url: string): Promise<string> {
  if (url.startsWith('file:')) return readFile(new URL(url), 'utf8');
  return (await readUrl(url, { maxBytes: MAX_BYTES, timeoutMs: TIMEOUT_MS })).bytes.toString('utf8');
}

/** Reads a `manifest.json` on disk. Throws if it is missing or invalid. */
export const readManifestFile = async (path: string): Promise<Manifest> =>
  manifestSchema.parse(JSON.parse(await readFile(path, 'utf8')));
