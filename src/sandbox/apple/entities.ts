/** The resources of a team of the simulated account, with the names in the table of `resource-types.ts`. */

import { createHash, createPublicKey } from 'node:crypto';
import { publicKeyPem } from '../../jws.ts';
import type { AccountApp, DistributionKey, Package } from '../state.ts';
import type { Call } from './json-api.ts';
import { archiveOf, type FileKind, filesOf, idOf, type PackagedFile } from './packages.ts';
import type { TypeName } from './resource-types.ts';

/** One resource. Attributes are computed on demand, because a checksum needs the bytes of a file. */
export type Entity = {
  readonly type: TypeName;
  readonly id: string;
  readonly attributes: () => Readonly<Record<string, unknown>>;
  /** Returns the resources of a relationship; none for an unknown name. */
  readonly related: (name: string) => readonly Entity[];
};

/** The source of the resources. A caller gets only the resources of its own team. */
type World = Pick<Call, 'store' | 'team' | 'origin' | 'nowMs' | 'cdn'>;

/** Download URLs expire after an hour, or on `DELETE /_sandbox/cdn`. */
const URL_LIFETIME_MS = 60 * 60 * 1000;

/** Returns all resources of a type that the team has, oldest first. */
export const entitiesOf = (world: World, type: TypeName): Entity[] => sources[type](world);

const sources: Readonly<Record<TypeName, (world: World) => Entity[]>> = {
  apps: (world) => appsOf(world).map((app) => appEntity(world, app)),
  appStoreVersions: (world) => versionsOf(world).map((one) => versionEntity(world, one)),
  alternativeDistributionKeys: (world) =>
    world.store.state.keys.filter(({ team }) => team === world.team).map((key) => keyEntity(world, key)),
  alternativeDistributionDomains: ({ store, team }) =>
    store.state.domains
      .filter((domain) => domain.team === team)
      .map(({ id, domain, referenceName, createdDate }) =>
        leaf('alternativeDistributionDomains', id, () => ({ domain, referenceName, createdDate })),
      ),
  alternativeDistributionPackages: (world) => madeOf(world).map((one) => packageEntity(world, one)),
  alternativeDistributionPackageVersions: (world) => madeOf(world).map((one) => packageVersionEntity(world, one)),
  alternativeDistributionPackageVariants: (world) =>
    madeOf(world).flatMap((one) => fileEntities(world, one, 'variant')),
  alternativeDistributionPackageDeltas: (world) => madeOf(world).flatMap((one) => fileEntities(world, one, 'delta')),
};

const appsOf = ({ store, team }: World) => store.state.apps.filter((app) => app.team === team);

/**
 * Each stored package is also an App Store version. If Apple has not made the package yet, it is a version without a
 * package.
 */
const versionsOf = (world: World) =>
  world.store.state.packages.filter(({ appleItemId }) => appsOf(world).some(({ id }) => id === appleItemId));
const madeOf = (world: World) => versionsOf(world).filter(({ isMade }) => isMade);

const leaf = (type: TypeName, id: string, attributes: Entity['attributes']): Entity => ({
  type,
  id,
  attributes,
  related: () => [],
});

function entity(
  type: TypeName,
  id: string,
  attributes: Entity['attributes'],
  relationships: Readonly<Record<string, () => Entity[]>>,
): Entity {
  const related = (name: string) => (Object.hasOwn(relationships, name) ? (relationships[name]?.() ?? []) : []);
  return { type, id, attributes, related };
}

const appEntity = (world: World, app: AccountApp): Entity =>
  entity(
    'apps',
    app.id,
    () => ({
      bundleId: app.bundleId,
      name: app.name,
      primaryLocale: app.primaryLocale,
      sku: app.sku,
      isOrEverWasMadeForKids: false,
      contentRightsDeclaration: 'DOES_NOT_USE_THIRD_PARTY_CONTENT',
      streamlinedPurchasingEnabled: true,
      ...app.changes,
    }),
    {
      appStoreVersions: () =>
        versionsOf(world)
          .filter(({ appleItemId }) => appleItemId === app.id)
          .map((one) => versionEntity(world, one)),
      alternativeDistributionKey: () =>
        world.store.state.keys.filter(({ appId }) => appId === app.id).map((key) => keyEntity(world, key)),
    },
  );

const versionEntity = (world: World, one: Package): Entity =>
  entity(
    'appStoreVersions',
    idOf(one, 'app store version'),
    () => ({
      platform: 'IOS',
      versionString: one.shortVersionString,
      appStoreState: 'READY_FOR_SALE',
      appVersionState: 'READY_FOR_DISTRIBUTION',
      copyright: '2026 Example',
      reviewType: 'NOTARIZATION',
      releaseType: 'AFTER_APPROVAL',
      downloadable: true,
      createdDate: new Date(Date.UTC(2026, 0, 1) + Number(one.bundleVersion) * 86_400_000).toISOString(),
      ...one.changes,
    }),
    {
      app: () =>
        appsOf(world)
          .filter(({ id }) => id === one.appleItemId)
          .map((app) => appEntity(world, app)),
      alternativeDistributionPackage: () => (one.isMade ? [packageEntity(world, one)] : []),
    },
  );

const keyEntity = (world: World, key: DistributionKey): Entity =>
  entity('alternativeDistributionKeys', key.id, () => ({ publicKey: nextSpelling(key.spki) }), {
    app: () =>
      appsOf(world)
        .filter(({ id }) => id === key.appId)
        .map((app) => appEntity(world, app)),
  });

const packageEntity = (world: World, one: Package): Entity =>
  entity(
    'alternativeDistributionPackages',
    idOf(one, 'package'),
    () => ({
      sourceFileChecksum: {
        file: { hash: digest('sha256', archiveOf(one, world.store.state.packages)), algorithm: 'SHA_256' },
      },
    }),
    { versions: () => [packageVersionEntity(world, one)] },
  );

function packageVersionEntity(world: World, one: Package): Entity {
  const id = idOf(one, 'package version');
  return entity(
    'alternativeDistributionPackageVersions',
    id,
    () => ({
      ...fileAttributes(world, 'archive', id, archiveOf(one, world.store.state.packages)),
      version: '1',
      state: 'COMPLETED',
    }),
    {
      variants: () => fileEntities(world, one, 'variant'),
      deltas: () => fileEntities(world, one, 'delta'),
      alternativeDistributionPackage: () => [packageEntity(world, one)],
    },
  );
}

function fileEntities(world: World, one: Package, kind: FileKind): Entity[] {
  const type = kind === 'variant' ? 'alternativeDistributionPackageVariants' : 'alternativeDistributionPackageDeltas';
  const attributes = (file: PackagedFile) => () => ({
    ...fileAttributes(world, kind, file.publicId, file.bytes()),
    alternativeDistributionKeyBlob: createHash('sha256').update(file.publicId).digest('base64'),
  });
  return filesOf(one, world.store.state.packages)
    .filter((file) => file.kind === kind)
    .map((file) => leaf(type, file.publicId, attributes(file)));
}

function fileAttributes({ origin, nowMs, cdn }: World, kind: FileKind | 'archive', id: string, bytes: Buffer) {
  const endsAtMs = nowMs + URL_LIFETIME_MS;
  return {
    url: origin + cdn.pathOf(kind, id, endsAtMs),
    urlExpirationDate: new Date(endsAtMs).toISOString(),
    fileChecksum: digest('md5', bytes),
  };
}

const digest = (algorithm: string, bytes: Buffer) => createHash(algorithm).update(bytes).digest('hex');

/** The ways in which Apple's own pages write a public key (docs/apple-facts.md §6.3 a to d). */
const spellings = [
  (pem: string) => pem.replaceAll('\n', ''),
  (pem: string) => pem,
  (pem: string) => pem.trimEnd(),
  (pem: string) => pem.replaceAll(/(?<![-])\n(?!-)/g, ''),
] as const;
let answered = 0;

/** Each response uses the next spelling, so that a client sees all of them. */
function nextSpelling(spkiBase64: string): string {
  const pem = publicKeyPem(createPublicKey({ key: Buffer.from(spkiBase64, 'base64'), format: 'der', type: 'spki' }));
  const spell = spellings[answered++ % spellings.length] ?? spellings[0];
  return spell(pem);
}
