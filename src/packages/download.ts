/**
 * Downloads one file of a package. It resumes where an earlier attempt stopped, checks the bytes while writing, and
 * requests a new URL when the old one has expired. It renames the file only after the file is complete and synced.
 */

import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isWebdistError, WebdistError } from '../errors.ts';
import { redirectTarget } from '../outbound.ts';
import { openDigestCheck } from './digest-check.ts';
import { bytesOf } from './file-bytes.ts';
import type { Asset } from './manifest.ts';

/** Returns the URL at which the file can be fetched now. Called again when the URL has expired. */
export type Source = () => Promise<{ readonly url: string; readonly checksum?: string | undefined }>;

export type DownloadOptions = {
  /** The folder of the package. */
  readonly folder: string;
  readonly asset: Asset;
  readonly source: Source;
  /** Called with the number of bytes received so far, and the total if it is known. */
  readonly onBytes?: ((bytes: number, total: number | undefined) => void) | undefined;
  /** The first pause after a failure, in milliseconds; it doubles each time. */
  readonly backoffMs?: number;
};

/** The download fails after this many failures in a row without a new byte. */
const MAX_FAILURES_IN_A_ROW = 6;
const STALLED_MS = 30_000;
const MAX_REDIRECTS = 3;

/** The statuses with which CDNs refuse an expired URL. */
const EXPIRED = [400, 401, 403, 404, 410];

/** Throws `package_invalid` for wrong bytes, `asc_outage` if the download fails, `state_invalid` if the disk is full. */
export async function download(options: DownloadOptions): Promise<void> {
  const { folder, asset, backoffMs = 500 } = options;
  const path = join(folder, asset.path);
  const draft = `${path}.download`;
  await mkdir(dirname(path), { recursive: true });
  let from = await options.source();
  for (let failures = 0; ; ) {
    const before = await sizeOf(draft);
    try {
      await attempt(draft, from, options);
      await rename(draft, path);
      return;
    } catch (error) {
      // Wrong bytes may be left over from a disk failure, so start again once. If they are still wrong, Apple sent
      // them.
      if (isWebdistError(error) && error.code === 'package_invalid') await rm(draft, { force: true });
      else if (!(error instanceof Interrupted)) throw fullDisk(error) ?? error;
      failures = (await sizeOf(draft)) > before ? 1 : failures + 1;
      const isOver = error instanceof Interrupted ? failures >= MAX_FAILURES_IN_A_ROW : failures > 1;
      if (isOver) throw error instanceof Interrupted ? unreachable(asset, error) : error;
      if (!(error instanceof Interrupted) || error.isExpired) from = await options.source();
      if (failures > 1) await delay(Math.random() * backoffMs * 2 ** failures);
    }
  }
}

/** One attempt: reads back and checks the bytes that are already there, then fetches the rest. */
async function attempt(draft: string, { url, checksum }: Awaited<ReturnType<Source>>, options: DownloadOptions) {
  await using file = await open(draft, 'a+');
  const check = openDigestCheck(options.asset, checksum);
  let bytes = await readBack(file, check);
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), STALLED_MS);
  try {
    const rest = await request(url, bytes, stalled.signal);
    const end = rest.bytes === undefined ? undefined : bytes + rest.bytes;
    for await (const part of bodyOf(rest)) {
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), STALLED_MS);
      check.take(part);
      // Not `write`, which may write only a part without an error when the disk fills up.
      await file.appendFile(part);
      bytes += part.length;
      options.onBytes?.(bytes, end);
    }
    if (end !== undefined && bytes < end) throw new Interrupted('the connection closed too early');
    check.end();
    await file.sync();
  } catch (error) {
    if (error instanceof Interrupted && error.restart) await file.truncate(0);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Requests the missing bytes. Sends no credential, because the URL itself is one. */
async function request(url: string, fromByte: number, signal: AbortSignal): Promise<Rest> {
  const headers = { 'accept-encoding': 'identity', ...(fromByte > 0 && { range: `bytes=${fromByte}-` }) };
  const response = await get(url, headers, signal, MAX_REDIRECTS);
  const { statusCode: status = 0 } = response;
  const isRest = status === 206 && response.headers['content-range']?.startsWith(`bytes ${fromByte}-`);
  if (isRest || (status === 200 && fromByte === 0)) {
    const length = response.headers['content-length'];
    return { body: response, bytes: length === undefined ? undefined : Number(length) };
  }
  response.destroy();
  // Every byte was already there; the digest check decides whether they are right.
  if (status === 416) return { body: [], bytes: 0 };
  throw new Interrupted(`status ${status}`, {
    isExpired: EXPIRED.includes(status),
    restart: [200, 206].includes(status),
  });
}

/** The rest of a file; `bytes` is its length, if the server reports it. */
type Rest = { readonly body: AsyncIterable<Uint8Array> | readonly Uint8Array[]; readonly bytes: number | undefined };

/** Uses `node:http` instead of fetch, because for gigabytes its streams need less time and memory than web streams. */
async function get(
  url: string,
  headers: Record<string, string>,
  signal: AbortSignal,
  redirects: number,
): Promise<IncomingMessage> {
  const ask = url.startsWith('https:') ? https.get : http.get;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    ask(url, { headers, signal }, resolve).once('error', reject);
  }).catch((cause) => {
    throw new Interrupted('no answer', { cause });
  });
  const { location } = response.headers;
  if (!location || ![301, 302, 303, 307, 308].includes(response.statusCode ?? 0)) return response;
  response.destroy();
  if (redirects === 0) throw new Interrupted('too many redirects');
  const next = await redirectTarget(new URL(url), location).catch((cause) => {
    throw new Interrupted(cause.message, { cause });
  });
  return get(next.href, headers, signal, redirects - 1);
}

async function* bodyOf({ body }: Rest): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    throw new Interrupted('the connection broke', { cause });
  }
}

/** Passes the bytes of an earlier attempt to the check, which refuses wrong chunks. Returns their number. */
async function readBack(file: FileHandle, check: ReturnType<typeof openDigestCheck>): Promise<number> {
  let bytes = 0;
  for await (const part of bytesOf(file)) {
    check.take(part);
    bytes += part.length;
  }
  return bytes;
}

/** A failure of the network; the download can be retried. */
class Interrupted extends Error {
  /** The URL has expired. */
  readonly isExpired: boolean;
  /** The server did not resume where the file ends, so start again. */
  readonly restart: boolean;

  constructor(message: string, options: { cause?: unknown; isExpired?: boolean; restart?: boolean } = {}) {
    super(message, { cause: options.cause });
    this.isExpired = options.isExpired ?? false;
    this.restart = options.restart ?? false;
  }
}

const unreachable = ({ path }: Asset, cause: Interrupted) =>
  new WebdistError('asc_outage', `${path} cannot be fetched (${cause.message}).`, {
    hint: 'Run the command again to continue where it stopped.',
    cause,
  });

/** Converts a full disk to a WebdistError; undefined for any other error. */
export function fullDisk(error: unknown): WebdistError | undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code ?? '')) return undefined;
  return new WebdistError(
    'state_invalid',
    'The disk of the packages folder is full. The earlier versions are unchanged.',
    {
      hint: 'Free some space or lower WEBDIST_PACKAGES_KEEP, then run the command again to continue where it stopped.',
      cause: error,
    },
  );
}

async function sizeOf(path: string): Promise<number> {
  try {
    await using file = await open(path, 'r');
    return (await file.stat()).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
