/**
 * The file server of the simulated App Store Connect. It serves package files at URLs that need no credential and
 * expire (docs/apple-facts.md §5.2), supports range requests, and can be slowed down for tests.
 */

import { createHmac, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import type { SandboxState, SandboxStore } from '../state.ts';
import { archiveOf, filesOf, idOf, nextPackage } from './packages.ts';

const PART_BYTES = 16_384;

/** The signed file URLs of one sandbox, and the speed at which files are sent. */
export interface Cdn {
  bytesPerSecond: number;
  /** Returns the path of a file, valid until `endsAtMs` (milliseconds since 1970). */
  pathOf(kind: string, id: string, endsAtMs: number): string;
  /** Whether a path made by `pathOf`, with this query, is still valid. */
  accepts(kind: string, id: string, given: unknown, nowMs: number): boolean;
  /** Invalidates every URL that was given out so far. */
  endAll(): void;
}

export function openCdn(): Cdn {
  let key = randomBytes(32);
  const signatureOf = (...parts: readonly string[]): string =>
    createHmac('sha256', key).update(parts.join(' ')).digest('base64url');
  return {
    bytesPerSecond: Number.POSITIVE_INFINITY,
    pathOf: (kind, id, endsAtMs) =>
      `/_sandbox/cdn/${kind}/${id}?ends=${endsAtMs}&key=${signatureOf(kind, id, String(endsAtMs))}`,
    accepts(kind, id, given, nowMs) {
      const address = query.safeParse(given).data;
      return address?.key === signatureOf(kind, id, address?.ends ?? '') && Number(address.ends) > nowMs;
    },
    endAll() {
      key = randomBytes(32);
    },
  };
}

const query = z.object({ ends: z.string(), key: z.string() });
const speed = z.strictObject({ bytesPerSecond: z.int().positive().nullable() });

/**
 * `app` is an AppleItemID; default: the first app. With `isMade` false, the version is approved, but its package does
 * not exist yet.
 */
const release = z.strictObject({ app: z.string().optional(), isMade: z.boolean().default(true) });

type Params = { Params: { kind: string; id: string } };

/**
 * Adds the files; `POST` and `DELETE /_sandbox/cdn`, which set the speed and invalidate all URLs; and
 * `POST /_sandbox/packages`, which releases the next version (docs/sandbox.md).
 */
export function addCdn(
  server: FastifyInstance,
  { store, cdn, now }: { readonly store: SandboxStore; readonly cdn: Cdn; readonly now: () => number },
): void {
  server.get<Params>('/_sandbox/cdn/:kind/:id', ({ params: { kind, id }, query: given, headers }, reply) => {
    if (!cdn.accepts(kind, id, given, now()))
      return reply.code(403).type('application/xml').send('<Error><Code>AccessDenied</Code></Error>');
    const bytes = bytesOf(kind, id, store.state);
    return bytes ? sendRange(bytes, headers.range, cdn, reply) : reply.code(404).send();
  });
  server.delete('/_sandbox/cdn', (_, reply) => {
    cdn.endAll();
    return reply.code(204).send();
  });
  server.post('/_sandbox/cdn', ({ body }, reply) => {
    const parsed = speed.safeParse(JSON.parse(String(body)));
    if (!parsed.success) return reply.code(400).send({ status: 400, detail: z.prettifyError(parsed.error) });
    cdn.bytesPerSecond = parsed.data.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    return reply.code(204).send();
  });
  server.post('/_sandbox/packages', ({ body }, reply) => {
    const parsed = release.safeParse(body ? JSON.parse(String(body)) : {});
    if (!parsed.success) return reply.code(400).send({ status: 400, detail: z.prettifyError(parsed.error) });
    const released = store.change(({ packages, apps }) => {
      const app = parsed.data.app ?? apps[0]?.id;
      const newest = packages.findLast(({ appleItemId }) => appleItemId === app);
      if (!newest) return undefined;
      const next = { ...nextPackage(newest), isMade: parsed.data.isMade };
      packages.push(next);
      return next;
    });
    if (!released)
      return reply.code(404).send({ status: 404, detail: 'The account has no app with this AppleItemID.' });
    const { appleVersionId, shortVersionString, bundleVersion } = released;
    return reply.code(201).send({ appleVersionId, shortVersionString, bundleVersion });
  });
}

function bytesOf(kind: string, id: string, { packages }: SandboxState): Buffer | undefined {
  if (kind === 'archive') {
    const found = packages.find((one) => idOf(one, 'package version') === id);
    return found && archiveOf(found, packages);
  }
  return packages
    .flatMap((one) => filesOf(one, packages))
    .find((file) => file.kind === kind && file.publicId === id)
    ?.bytes();
}

function sendRange(bytes: Buffer, range: string | undefined, cdn: Cdn, reply: FastifyReply): FastifyReply {
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);
  if (from >= bytes.length) return reply.code(416).header('content-range', `bytes */${bytes.length}`).send();
  const rest = bytes.subarray(from);
  if (from > 0) reply.code(206).header('content-range', `bytes ${from}-${bytes.length - 1}/${bytes.length}`);
  reply.headers({ 'content-type': 'application/octet-stream', 'content-length': rest.length });
  return reply.send(Readable.from(inParts(rest, cdn)));
}

async function* inParts(bytes: Buffer, cdn: Cdn): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += PART_BYTES) {
    if (Number.isFinite(cdn.bytesPerSecond)) await delay((PART_BYTES / cdn.bytesPerSecond) * 1000);
    yield bytes.subarray(from, from + PART_BYTES);
  }
}
