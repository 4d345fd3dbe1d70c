/** Resources of packages are used only if they have the type that was requested. */

import t from 'tap';
import { openJsonApi } from '../../src/app-store-connect/json-api.ts';
import { type AppPackages, openPackages } from '../../src/app-store-connect/packages.ts';

const attributes = {
  versionString: '1.0',
  appVersionState: 'READY_FOR_DISTRIBUTION',
  url: 'http://127.0.0.1/file.zip',
  version: '1',
};

/** The packages of an API that answers every request with resources of this type. */
function packagesOf(type: string | undefined, isList: boolean): AppPackages {
  const resource = { ...(type && { type }), id: 'one', attributes };
  const baseUrl = 'http://127.0.0.1';
  const send = async () => ({ data: isList ? [resource] : resource });
  return openPackages(openJsonApi({ baseUrl, send, deadline: () => AbortSignal.timeout(1000) }), baseUrl);
}

const calls: [name: string, type: string, isList: boolean, call: (packages: AppPackages) => Promise<unknown>][] = [
  ['storeVersions', 'appStoreVersions', true, (packages) => packages.storeVersions('6500000001')],
  ['packageOf', 'alternativeDistributionPackages', false, (packages) => packages.packageOf('one')],
  ['create', 'alternativeDistributionPackages', false, (packages) => packages.create('one')],
  ['currentVersion', 'alternativeDistributionPackageVersions', true, (packages) => packages.currentVersion('one')],
  ['variants', 'alternativeDistributionPackageVariants', true, (packages) => packages.files('one', 'variant')],
  ['deltas', 'alternativeDistributionPackageDeltas', true, (packages) => packages.files('one', 'delta')],
  ['variant', 'alternativeDistributionPackageVariants', false, (packages) => packages.file('variant', 'one')],
  ['delta', 'alternativeDistributionPackageDeltas', false, (packages) => packages.file('delta', 'one')],
];

for (const [name, type, isList, call] of calls)
  t.test(name, async (t) => {
    t.ok(await call(packagesOf(type, isList)), type);
    const others = [...new Set(calls.map(([, other]) => other)), 'apps', type.toUpperCase(), undefined];
    for (const other of others)
      if (other !== type)
        await t.rejects(call(packagesOf(other, isList)), { code: 'asc_outage', message: /type/ }, `${other}`);
  });
