/**
 * Serves bytes that do not change while this process runs. They are compressed once, and have an ETag, so that caches
 * can keep them.
 */

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';

/** Compression saves nothing if the content fits into one packet. */
const LEAST_ZIPPED_BYTES = 1400;

type Answer = (request: FastifyRequest, reply: FastifyReply) => FastifyReply;

/** A JSON document that caches may keep for five minutes. */
export const fixedDocument = (document: object): Answer =>
  fixedContent(JSON.stringify(document), {
    'content-type': 'application/json',
    'cache-control': 'public, max-age=300',
  });

/** Returns the handler that answers with the content and these headers, or with 304 if the caller already has it. */
export function fixedContent(content: string | Buffer, headers: Readonly<Record<string, string>>): Answer {
  const bytes = Buffer.from(content);
  const zipped = bytes.length < LEAST_ZIPPED_BYTES ? bytes : gzipSync(bytes, { level: 9 });
  const mayZip = zipped.length < bytes.length;
  const digest = createHash('sha256').update(bytes).digest('base64url').slice(0, 22);
  return (request, reply) => {
    const isZipped = mayZip && acceptsGzip(request);
    const etag = `"${digest}${isZipped ? '-gzip' : ''}"`;
    reply.headers(headers).header('etag', etag);
    if (mayZip) reply.header('vary', 'accept-encoding');
    const known = knownTags(request);
    if (known.includes(etag) || known.includes('*')) return reply.code(304).send();
    if (isZipped) reply.header('content-encoding', 'gzip');
    return reply.send(isZipped ? zipped : bytes);
  };
}

/** Describes the responses of such a handler. */
export const documentAnswers = <T extends z.ZodType>(contentType: string, schema: T) => ({
  200: { description: schema.description ?? '', content: { [contentType]: { schema } } },
  304: z.undefined().describe('The caller has it already (`If-None-Match`)'),
});

/** RFC 9110 §12.5.3; `q=0` refuses it. */
const acceptsGzip = ({ headers }: FastifyRequest): boolean =>
  /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/.test(String(headers['accept-encoding'] ?? ''));

/** RFC 9110 §13.1.2: compared without `W/`; `*` stands for every tag. */
const knownTags = ({ headers }: FastifyRequest): string[] =>
  (headers['if-none-match'] ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
