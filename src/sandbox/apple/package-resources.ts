/**
 * App Store versions and alternative distribution packages of the simulated account (docs/apple-facts.md §5.2). File URLs
 * expire after an hour, or on `DELETE /_sandbox/cdn`.
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Package } from '../state.ts';
import { appOf } from './apps.ts';
import {
  type AppleAnswer,
  AppleRefusal,
  type Call,
  isLimit,
  isList,
  isListOf,
  page,
  readEntity,
  single,
} from './json-api.ts';
import { archiveOf, type FileKind, filesOf, idOf, type PackagedFile } from './packages.ts';

export const pageQuery = { limit: isLimit, cursor: isList };
export const listStoreVersionsQuery = { ...pageQuery, 'filter[platform]': isListOf('IOS', 'MAC_OS', 'TV_OS') };
export const listPackageVersionsQuery = { ...pageQuery, 'filter[state]': isListOf('COMPLETED', 'REPLACED') };

const TYPE = 'alternativeDistributionPackages';
const URL_LIFETIME_MS = 60 * 60 * 1000;

/** `GET /v1/apps/{id}/appStoreVersions`. Throws 404. */
export function listStoreVersions(call: Call): AppleAnswer {
  const app = appOf(call);
  const found = call.store.state.packages.filter(({ appleItemId }) => appleItemId === app.id);
  return page(call, found, (one) => ({
    type: 'appStoreVersions',
    id: idOf(one, 'app store version'),
    attributes: {
      platform: 'IOS',
      versionString: one.shortVersionString,
      appVersionState: 'READY_FOR_DISTRIBUTION',
      createdDate: new Date(Date.UTC(2026, 0, 1) + Number(one.bundleVersion) * 86_400_000).toISOString(),
    },
  }));
}

/** `GET /v1/appStoreVersions/{id}/alternativeDistributionPackage`. Throws 404. */
export function readStoreVersionPackage(call: Call): AppleAnswer {
  const found = packageNamed(call, 'app store version');
  if (!found.isMade) throw new AppleRefusal(404, 'NOT_FOUND', `The version '${call.id}' has no package.`);
  return { status: 200, body: packageBody(call, found) };
}

const newPackage = z.strictObject({
  data: z.strictObject({
    type: z.literal(TYPE),
    relationships: z.strictObject({
      appStoreVersion: z.strictObject({
        data: z.strictObject({ type: z.literal('appStoreVersions'), id: z.string() }),
      }),
    }),
  }),
});

/** `POST /v1/alternativeDistributionPackages`: exactly one for each version (docs/apple-facts.md §5.1). Throws 400, 409 and 422. */
export function addPackage(call: Call): AppleAnswer {
  const { id } = readEntity(call.body, newPackage).data.relationships.appStoreVersion.data;
  const refusal = (why: string) =>
    new AppleRefusal(409, 'ENTITY_ERROR.RELATIONSHIP.INVALID', why, { pointer: '/data/relationships/appStoreVersion' });
  const made = call.store.change(({ packages }) => {
    const found = packages.find((one) => idOf(one, 'app store version') === id);
    if (!found) throw refusal(`There is no App Store version '${id}'.`);
    if (found.isMade) throw refusal(`The App Store version '${id}' already has a package.`);
    found.isMade = true;
    return found;
  });
  return { status: 201, body: packageBody(call, made) };
}

function packageBody(call: Call, found: Package) {
  const data = { type: TYPE, id: idOf(found, 'package') };
  return single(call, `/v1/${TYPE}/${data.id}`, data);
}

/** `GET /v1/alternativeDistributionPackages/{id}/versions`. Throws 404. */
export function listPackageVersions(call: Call): AppleAnswer {
  const found = packageNamed(call, 'package');
  const state = call.query.get('filter[state]')?.split(',') ?? ['COMPLETED'];
  return page(call, state.includes('COMPLETED') ? [found] : [], (one) => ({
    type: 'alternativeDistributionPackageVersions',
    id: idOf(one, 'package version'),
    attributes: {
      ...fileAttributes(call, 'archive', idOf(one, 'package version'), archiveOf(one, call.store.state.packages)),
      version: '1',
      state: 'COMPLETED',
    },
  }));
}

/** `GET /v1/alternativeDistributionPackageVersions/{id}/variants` and `…/deltas`. Throws 404. */
export const listPackageFiles =
  (kind: FileKind) =>
  (call: Call): AppleAnswer => {
    const found = packageNamed(call, 'package version');
    const files = filesOf(found, call.store.state.packages).filter((file) => file.kind === kind);
    return page(call, files, (file) => resource(call, file));
  };

/** `GET /v1/alternativeDistributionPackageVariants/{id}` and `…Deltas/{id}`. Throws 404. */
export const readPackageFile =
  (kind: FileKind) =>
  (call: Call): AppleAnswer => {
    const { packages } = call.store.state;
    const file = packages
      .flatMap((one) => filesOf(one, packages))
      .find((one) => one.kind === kind && one.publicId === call.id);
    if (!file) throw new AppleRefusal(404, 'NOT_FOUND', `There is no ${kind} with id '${call.id}'.`);
    return { status: 200, body: single(call, call.target, resource(call, file)) };
  };

const resource = (call: Call, file: PackagedFile) => ({
  type: file.kind === 'variant' ? 'alternativeDistributionPackageVariants' : 'alternativeDistributionPackageDeltas',
  id: file.publicId,
  attributes: {
    ...fileAttributes(call, file.kind, file.publicId, file.bytes()),
    alternativeDistributionKeyBlob: createHash('sha256').update(file.publicId).digest('base64'),
  },
});

function fileAttributes(call: Call, kind: FileKind | 'archive', id: string, bytes: Buffer) {
  const endsAtMs = call.nowMs + URL_LIFETIME_MS;
  return {
    url: call.origin + call.cdn.pathOf(kind, id, endsAtMs),
    urlExpirationDate: new Date(endsAtMs).toISOString(),
    fileChecksum: createHash('md5').update(bytes).digest('hex'),
  };
}

function packageNamed(call: Call, what: string): Package {
  const found = call.store.state.packages.find((one) => idOf(one, what) === call.id);
  if (!found) throw new AppleRefusal(404, 'NOT_FOUND', `There is no ${what} with id '${call.id}'.`);
  return found;
}
