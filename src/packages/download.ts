/**
 * Fetches one file of a package into its place: resumed where it stopped, checked while it is written, its address
 * asked for anew when it has ended, whole and synced before it gets its name.
 */

import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isWebdistError, WebdistError } from '../errors.ts';
import { openDigestCheck } from './digest-check.ts';
import { bytesOf } from './file-bytes.ts';
import type { Asset } from './manifest.ts';
import { openYoungGarbage } from './young-garbage.ts';

/** Where a file can be fetched now; asked again when the address has ended. */
export type Source = () => Promise<{ readonly url: string; readonly checksum?: string | undefined }>;

export type DownloadOptions = {
  /** The package being pulled. */
  readonly folder: string;
  readonly asset: Asset;
  readonly source: Source;
  /** Hears how many bytes of the file are there, and how many it has when that is known. */
  readonly onBytes?: ((bytes: number, total: number | undefined) => void) | undefined;
  /** The first pause after a failure, in milliseconds; each next one is twice as long. */
  readonly backoffMs?: number;
};

/** So many failures in a row without a byte more, and the network is not going to do it. */
const FAILURES_IN_A_ROW = 6;
const STALLED_MS = 30_000;
const MAX_REDIRECTS = 3;

/** What a CDN answers once an address has ended. */
const ENDED = [400, 401, 403, 404, 410];

/** Throws `package_invalid` when the bytes are wrong, `asc_outage` when they do not come, `state_invalid` when the disk is full. */
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
      // Bytes that are wrong here may have been so since a disk failed: once more from the beginning, then it is Apple's.
      if (isWebdistError(error) && error.code === 'package_invalid') await rm(draft, { force: true });
      else if (!(error instanceof Interrupted)) throw fullDisk(error) ?? error;
      failures = (await sizeOf(draft)) > before ? 1 : failures + 1;
      const isOver = error instanceof Interrupted ? failures >= FAILURES_IN_A_ROW : failures > 1;
      if (isOver) throw error instanceof Interrupted ? unreachable(asset, error) : error;
      if (!(error instanceof Interrupted) || error.isEnded) from = await options.source();
      if (failures > 1) await delay(Math.random() * backoffMs * 2 ** failures);
    }
  }
}

/** One request: what is there already is read back and checked, the rest fetched. */
async function attempt(draft: string, { url, checksum }: Awaited<ReturnType<Source>>, options: DownloadOptions) {
  await using file = await open(draft, 'a+');
  const check = openDigestCheck(options.asset, checksum);
  let bytes = await readBack(file, check);
  const passed = openYoungGarbage();
  const stalled = new AbortController();
  let timer = setTimeout(() => stalled.abort(), STALLED_MS);
  try {
    const rest = await request(url, bytes, stalled.signal);
    const end = rest.bytes === undefined ? undefined : bytes + rest.bytes;
    for await (const part of bodyOf(rest)) {
      clearTimeout(timer);
      timer = setTimeout(() => stalled.abort(), STALLED_MS);
      check.take(part);
      // Not `write`, which on a disk that fills up may write less and say nothing.
      await file.appendFile(part);
      bytes += part.length;
      passed(part.length);
      options.onBytes?.(bytes, end);
    }
    // A connection that was cut short is not the end of the file.
    if (end !== undefined && bytes < end) throw new Interrupted('the connection ended too early');
    check.end();
    await file.sync();
  } catch (error) {
    if (error instanceof Interrupted && error.restart) await file.truncate(0);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Asks for what is missing. Nothing is sent but the address, which is its own credential. */
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
  // Everything was there already, only the name was missing; the check says whether it is good.
  if (status === 416) return { body: [], bytes: 0 };
  throw new Interrupted(`status ${status}`, { isEnded: ENDED.includes(status), restart: [200, 206].includes(status) });
}

/** What of a file is still to come; `bytes` when the server says how much. */
type Rest = { readonly body: AsyncIterable<Uint8Array> | readonly Uint8Array[]; readonly bytes: number | undefined };

/** By `node:http`, not by fetch: packages have gigabytes, and its streams cost less time and memory than web streams. */
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
  const next = new URL(location, url);
  if (redirects === 0 || next.protocol !== new URL(url).protocol)
    throw new Interrupted('a redirect that leads nowhere');
  return get(next.href, headers, signal, redirects - 1);
}

async function* bodyOf({ body }: Rest): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (cause) {
    throw new Interrupted('the connection broke', { cause });
  }
}

/** Takes what an earlier run left into the check, which refuses a chunk that is not good. Gives the number of bytes. */
async function readBack(file: FileHandle, check: ReturnType<typeof openDigestCheck>): Promise<number> {
  let bytes = 0;
  for await (const part of bytesOf(file)) {
    check.take(part);
    bytes += part.length;
  }
  return bytes;
}

/** Something on the way, to be tried again. */
class Interrupted extends Error {
  /** The address is no longer good. */
  readonly isEnded: boolean;
  readonly restart: boolean;

  constructor(message: string, options: { cause?: unknown; isEnded?: boolean; restart?: boolean } = {}) {
    super(message, { cause: options.cause });
    this.isEnded = options.isEnded ?? false;
    this.restart = options.restart ?? false;
  }
}

const unreachable = ({ path }: Asset, cause: Interrupted) =>
  new WebdistError('asc_outage', `${path}: cannot be fetched (${cause.message}).`, {
    hint: 'Run the command again: it goes on where it stopped.',
    cause,
  });

/** A full disk as an error of ours; what was there before goes on being served. */
export function fullDisk(error: unknown): WebdistError | undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (!['ENOSPC', 'EDQUOT', 'EFBIG'].includes(code ?? '')) return undefined;
  return new WebdistError('state_invalid', 'There is no room left in the packages folder; what was there stays.', {
    hint: 'Make room, or lower WEBDIST_PACKAGES_KEEP, then run the command again: it goes on where it stopped.',
    cause: error,
  });
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
