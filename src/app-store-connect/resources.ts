/**
 * The JSON:API resources of App Store Connect that webdist reads, and the plain objects they become
 * (docs/apple-facts.md §4.3-4.5). Members that Apple adds or omits are tolerated. Members that webdist uses are checked
 * strictly.
 */

import type { KeyObject } from 'node:crypto';
import type { Logger } from 'pino';
import { z } from 'zod';
import { isWebdistError } from '../errors.ts';
import { readPublicKey, spki } from '../jws.ts';
import { ascError } from './classify.ts';

/** An app; `appleItemId` is its resource id, a decimal string. */
export type App = { readonly appleItemId: string; readonly bundleId: string; readonly name: string | undefined };

/** A registered public half. Both are undefined if Apple's PEM cannot be read. `spki` is base64 of the DER. */
export type RegisteredKey = {
  readonly id: string;
  readonly publicKey: KeyObject | undefined;
  readonly spki: string | undefined;
};

/** A registered domain; `createdDate` is ISO 8601 as Apple wrote it. */
export type RegisteredDomain = {
  readonly id: string;
  readonly domain: string;
  readonly referenceName: string | undefined;
  readonly createdDate: string | undefined;
};

/** Validates a resource and returns the plain object. `where` is the request, for the message. Throws `asc_outage`. */
export type Reader<T> = (resource: unknown, where: string) => T;

const id = z.string().min(1);
const optional = z.string().nullish();

const appResource = z.object({
  type: z.literal('apps'),
  id,
  attributes: z.object({ bundleId: z.string(), name: optional }),
});
const keyResource = z.object({
  type: z.literal('alternativeDistributionKeys'),
  id,
  attributes: z.object({ publicKey: optional }).nullish(),
});
const domainResource = z.object({
  type: z.literal('alternativeDistributionDomains'),
  id,
  attributes: z.object({ domain: z.string(), referenceName: optional, createdDate: optional }),
});

const singleDocument = z.object({ data: z.unknown() });
const pageDocument = z.object({ data: z.array(z.unknown()), links: z.object({ next: optional }).nullish() });

/** Returns the reader of resources with this schema. */
export const resourceReader =
  <T>(schema: z.ZodType<T>): Reader<T> =>
  (resource, where) =>
    validated(schema, resource, where);

/** Reads an `apps` resource. */
export const readApp: Reader<App> = (resource, where) => {
  const app = validated(appResource, resource, where);
  return { appleItemId: app.id, bundleId: app.attributes.bundleId, name: app.attributes.name ?? undefined };
};

/**
 * Returns the reader of `alternativeDistributionKeys`. A PEM that cannot be read is logged; the other members stay
 * usable.
 */
export const keyReader =
  (log: Logger): Reader<RegisteredKey> =>
  (resource, where) => {
    const { id, attributes } = validated(keyResource, resource, where);
    try {
      const publicKey = readPublicKey(attributes?.publicKey ?? '');
      return { id, publicKey, spki: spki(publicKey) };
    } catch (error) {
      if (!isWebdistError(error) || error.code !== 'key_invalid') throw error;
      log.warn(
        { event: 'asc_public_key_unreadable', keyId: id, reason: error.detail },
        'a registered key cannot be read',
      );
      return { id, publicKey: undefined, spki: undefined };
    }
  };

/** Reads an `alternativeDistributionDomains` resource. */
export const readDomain: Reader<RegisteredDomain> = (resource, where) => {
  const { id, attributes } = validated(domainResource, resource, where);
  const { domain, referenceName, createdDate } = attributes;
  return { id, domain, referenceName: referenceName ?? undefined, createdDate: createdDate ?? undefined };
};

/** Reads the document of one resource; null for `data: null`. Throws `asc_outage` for anything else. */
export function readSingle<T>(reader: Reader<T>, document: unknown, where: string): T | null {
  const { data } = validated(singleDocument, document, where);
  return data === null ? null : reader(data, where);
}

/** Reads one page of a list; `next` is the link to the next page, unchecked. Throws `asc_outage` for anything else. */
export function readPage<T>(reader: Reader<T>, document: unknown, where: string): { items: T[]; next?: string } {
  const { data, links } = validated(pageDocument, document, where);
  return { items: data.map((resource) => reader(resource, where)), ...(links?.next && { next: links.next }) };
}

function validated<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const members = parsed.error.issues.map((issue) => issue.path.join('.') || 'the root').slice(0, 3);
  throw ascError('asc_outage', `${where}: the response does not have the documented form, at ${members.join(', ')}.`);
}
