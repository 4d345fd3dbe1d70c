/**
 * The requests that change apps, App Store versions and packages of the simulated account (docs/apple-facts.md §5.1,
 * §5.2).
 */

import { z } from 'zod';
import type { Package, SandboxState } from '../state.ts';
import { created, named, single } from './documents.ts';
import { type AppleAnswer, AppleRefusal, type Call, readEntity, type Write } from './json-api.ts';
import { idOf } from './packages.ts';

const TYPE = 'alternativeDistributionPackages';

/** The requests that change apps, App Store versions and packages. */
export const packageWrites: readonly Write[] = [
  ['POST', TYPE, addPackage],
  ['PATCH', 'apps', updateApp],
  ['PATCH', 'appStoreVersions', updateVersion],
  ['DELETE', 'appStoreVersions', refuseVersionRemoval],
];

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

/**
 * `POST /v1/alternativeDistributionPackages`: creates a package; each version has exactly one. Throws 400, 409 and 422.
 */
function addPackage(call: Call): AppleAnswer {
  const { id } = readEntity(call.body, newPackage).data.relationships.appStoreVersion.data;
  const refusal = (why: string) =>
    new AppleRefusal(409, 'ENTITY_ERROR.RELATIONSHIP.INVALID', why, { pointer: '/data/relationships/appStoreVersion' });
  const made = call.store.change((draft) => {
    const found = versionNamed(call, draft, id);
    if (!found) throw refusal(`There is no App Store version '${id}'.`);
    if (found.isMade) throw refusal(`The App Store version '${id}' already has a package.`);
    found.isMade = true;
    return found;
  });
  return created(call, TYPE, idOf(made, 'package'));
}

const statusUrlVersion = z.enum(['V1', 'V2']).nullable();
const appUpdate = z.strictObject({
  data: z.strictObject({
    type: z.literal('apps'),
    id: z.string(),
    attributes: z
      .strictObject({
        bundleId: z.string().optional(),
        primaryLocale: z.string().optional(),
        subscriptionStatusUrl: z.url().nullable().optional(),
        subscriptionStatusUrlVersion: statusUrlVersion.optional(),
        subscriptionStatusUrlForSandbox: z.url().nullable().optional(),
        subscriptionStatusUrlVersionForSandbox: statusUrlVersion.optional(),
        contentRightsDeclaration: z
          .enum(['DOES_NOT_USE_THIRD_PARTY_CONTENT', 'USES_THIRD_PARTY_CONTENT'])
          .nullable()
          .optional(),
        streamlinedPurchasingEnabled: z.boolean().nullable().optional(),
      })
      .optional(),
  }),
});

/** `PATCH /v1/apps/{id}`. Throws 400, 409 (another bundle id: a version has been released) and 422. */
function updateApp(call: Call): AppleAnswer {
  const { id, attributes = {} } = readEntity(call.body, appUpdate).data;
  refuseOtherId(call, id);
  call.store.change(({ apps }) => {
    const app = apps.find((one) => one.id === call.id);
    if (!app) return;
    if (attributes.bundleId !== undefined && attributes.bundleId !== app.bundleId)
      throw new AppleRefusal(409, 'ENTITY_ERROR.ATTRIBUTE.INVALID', 'The app has been released under its bundle id.', {
        pointer: '/data/attributes/bundleId',
      });
    app.changes = { ...app.changes, ...attributes };
  });
  return single(call, named(call, 'apps'));
}

const versionUpdate = z.strictObject({
  data: z.strictObject({
    type: z.literal('appStoreVersions'),
    id: z.string(),
    attributes: z
      .strictObject({
        versionString: z.string().optional(),
        copyright: z.string().nullable().optional(),
        reviewType: z.enum(['APP_STORE', 'NOTARIZATION']).nullable().optional(),
        releaseType: z.enum(['MANUAL', 'AFTER_APPROVAL', 'SCHEDULED']).nullable().optional(),
        earliestReleaseDate: z.iso.datetime({ offset: true }).nullable().optional(),
        downloadable: z.boolean().nullable().optional(),
      })
      .optional(),
    relationships: z.record(z.enum(['build', 'appClipDefaultExperience']), z.unknown()).optional(),
  }),
});

/** `PATCH /v1/appStoreVersions/{id}`. Throws 400, 409 (there are no builds and App Clips here) and 422. */
function updateVersion(call: Call): AppleAnswer {
  const { id, attributes = {}, relationships = {} } = readEntity(call.body, versionUpdate).data;
  refuseOtherId(call, id);
  const [relationship] = Object.keys(relationships);
  if (relationship)
    throw new AppleRefusal(
      409,
      'ENTITY_ERROR.RELATIONSHIP.INVALID',
      `The account has no resource for ${relationship}.`,
      {
        pointer: `/data/relationships/${relationship}`,
      },
    );
  call.store.change((draft) => {
    const version = versionNamed(call, draft, call.id);
    if (version) version.changes = { ...version.changes, ...attributes };
  });
  return single(call, named(call, 'appStoreVersions'));
}

/**
 * `DELETE /v1/appStoreVersions/{id}`: always refuses, because every version here is approved, and an approved version
 * cannot be deleted. Throws 409.
 */
function refuseVersionRemoval(call: Call): never {
  throw new AppleRefusal(409, 'ENTITY_ERROR', `The App Store version '${call.id}' has been approved.`);
}

function versionNamed({ team }: Call, { apps, packages }: SandboxState, id: string): Package | undefined {
  const own = apps.filter((app) => app.team === team);
  return packages.find((one) => idOf(one, 'app store version') === id && own.some((app) => app.id === one.appleItemId));
}

function refuseOtherId(call: Call, id: string): void {
  if (id !== call.id)
    throw new AppleRefusal(409, 'ENTITY_ERROR', `The id '${id}' is not the id in the path.`, { pointer: '/data/id' });
}
