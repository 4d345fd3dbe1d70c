/** Apps, App Store versions and packages: relationships, `include`, linkage, changes, and several apps and teams. */

import { createPrivateKey } from 'node:crypto';
import t from 'tap';
import type { Sandbox } from '../../../src/sandbox/sandbox.ts';
import { APP, addKey, apiToken, call, control, KEYS, outcome } from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

type Identifier = { type: string; id: string };
type Related = { links?: object; data?: Identifier | Identifier[]; meta?: { paging: object } };
type Found = {
  data: Identifier & { attributes?: object; relationships?: Record<string, Related> };
  included?: (Identifier & { attributes?: object })[];
};

const get = async (sandbox: Sandbox, path: string) => (await call(sandbox, 'GET', path)).body;
const read = async (sandbox: Sandbox, path: string) => (await get(sandbox, path)) as unknown as Found;
const typesOf = ({ included = [] }: Found) => included.map(({ type }) => type).join();

t.test('from an app to its files, by include, by path and by linkage', async (t) => {
  const sandbox = await startSandbox(t);
  await control(sandbox, 'POST', 'packages');
  const app = await read(sandbox, `/v1/apps/${APP}?include=appStoreVersions&limit[appStoreVersions]=1`);
  t.equal(typesOf(app), 'appStoreVersions');
  t.match(app.data.relationships?.['appStoreVersions'], { meta: { paging: { total: 2, limit: 1 } } });
  const version = app.included?.[0]?.id;

  const store = await read(sandbox, `/v1/appStoreVersions/${version}?include=app,alternativeDistributionPackage,build`);
  t.equal(typesOf(store), 'apps,alternativeDistributionPackages', 'there are no builds');
  const adp = store.included?.[1]?.id;
  t.strictSame(store.data.relationships?.['alternativeDistributionPackage']?.data, {
    type: 'alternativeDistributionPackages',
    id: adp,
  });
  const byPath = await read(sandbox, `/v1/appStoreVersions/${version}/alternativeDistributionPackage?include=versions`);
  t.strictSame([byPath.data.id, typesOf(byPath)], [adp, 'alternativeDistributionPackageVersions']);
  const packageVersion = byPath.included?.[0]?.id;

  const path = `/v1/alternativeDistributionPackageVersions/${packageVersion}`;
  const files = await read(sandbox, `${path}?include=variants,deltas,alternativeDistributionPackage`);
  t.equal(files.included?.length, 3, 'two variants, no delta of the first version, the package');
  const linked = await get(sandbox, `${path}/relationships/variants?limit=1`);
  t.strictSame(linked.data, [{ type: 'alternativeDistributionPackageVariants', id: files.included?.[0]?.id }]);
  t.match(linked, { links: { next: /cursor=/ }, meta: { paging: { total: 2 } } });
  for (const [linkage, id] of [
    [`/v1/appStoreVersions/${version}/relationships/alternativeDistributionPackage`, adp],
    [`/v1/alternativeDistributionPackages/${adp}/relationships/versions`, packageVersion],
  ] as const)
    t.equal([(await get(sandbox, linkage)).data].flat()[0]?.id, id, linkage);
});

t.test('fields select attributes and relationships', async (t) => {
  const sandbox = await startSandbox(t);
  for (const [query, attributes, relationships] of [
    ['fields[apps]=name', ['name'], []],
    ['fields[apps]=sku,appStoreVersions', ['sku'], ['appStoreVersions']],
    ['fields[apps]=builds&include=builds', [], ['builds']],
  ] as const) {
    const { data } = await read(sandbox, `/v1/apps/${APP}?${query}`);
    t.strictSame(Object.keys(data.attributes ?? {}), attributes, query);
    t.strictSame(Object.keys(data.relationships ?? {}), relationships, query);
  }
});

t.test('resources that the sandbox does not have', async (t) => {
  const sandbox = await startSandbox(t);
  for (const [name, expected] of [
    ['builds?filter[version]=1', '200'],
    ['relationships/betaGroups', '200'],
    ['ciProduct', '404 NOT_FOUND'],
    ['betaTesters', '404 NOT_FOUND'],
    ['nonsense', '404 PATH_ERROR'],
  ] as const)
    t.equal(outcome(await call(sandbox, 'GET', `/v1/apps/${APP}/${name}`)), expected, name);
});

t.test('filters reach through relationships', async (t) => {
  const sandbox = await startSandbox(t);
  const count = async (path: string) => (await get(sandbox, path)).data.length;
  const versions = `/v1/apps/${APP}/appStoreVersions`;
  for (const [path, expected] of [
    ['/v1/apps?filter[appStoreVersions.appVersionState]=READY_FOR_DISTRIBUTION', 1],
    ['/v1/apps?filter[appStoreVersions.platform]=MAC_OS', 0],
    ['/v1/apps?filter[reviewSubmissions.state]=COMPLETE', 0],
    ['/v1/apps?exists[gameCenterEnabledVersions]=true', 0],
    [`${versions}?filter[versionString]=1.3.0&filter[platform]=IOS,VISION_OS`, 1],
    [`${versions}?filter[appStoreState]=REJECTED`, 0],
  ] as const)
    t.equal(await count(path), expected, path);
});

t.test('changes of apps and versions last', async (t) => {
  const sandbox = await startSandbox(t);
  const [version] = (await get(sandbox, `/v1/apps/${APP}/appStoreVersions`)).data;
  const changed = (type: string, id: string, attributes: object, relationships?: object) =>
    call(sandbox, 'PATCH', `/v1/${type}/${id}`, {
      data: { type, id, attributes, ...(relationships && { relationships }) },
    });
  t.equal((await changed('apps', APP, { primaryLocale: 'de-DE' })).body.data.attributes['primaryLocale'], 'de-DE');
  t.equal((await get(sandbox, `/v1/apps/${APP}`)).data.attributes['primaryLocale'], 'de-DE');
  const id = version?.id ?? '';
  await changed('appStoreVersions', id, { copyright: '2027 Example' });
  t.equal((await get(sandbox, `/v1/appStoreVersions/${id}`)).data.attributes['copyright'], '2027 Example');
  for (const [answer, expected] of [
    [await changed('apps', APP, { bundleId: 'com.example.other' }), '409 ENTITY_ERROR.ATTRIBUTE.INVALID'],
    [await changed('apps', APP, { price: 1 }), '422 ENTITY_UNPROCESSABLE'],
    [await changed('appStoreVersions', id, {}, { build: { data: null } }), '409 ENTITY_ERROR.RELATIONSHIP.INVALID'],
    [await changed('appStoreVersions', 'none', {}), '404 NOT_FOUND'],
    [await call(sandbox, 'DELETE', `/v1/appStoreVersions/${id}`), '409 ENTITY_ERROR'],
  ] as const)
    t.equal(outcome(answer), expected);
});

t.test('pointers follow RFC 6901', async (t) => {
  const sandbox = await startSandbox(t);
  const pointerFor = async (body: unknown) =>
    (await call(sandbox, 'POST', KEYS, body)).body.errors[0]?.source as { pointer: string };
  for (const [body, pointer] of [
    [[], ''],
    [{}, '/data'],
    [
      { data: { type: 'alternativeDistributionKeys', attributes: { publicKey: 'x', 'a/b~c': 1 } } },
      '/data/attributes/a~1b~0c',
    ],
    [{ data: { type: 'other', attributes: { publicKey: 'x' } } }, '/data/type'],
  ] as const)
    t.strictSame(await pointerFor(body), { pointer }, pointer);
});

t.test('several apps and teams: each team sees only what is its own', async (t) => {
  const sandbox = await startSandbox(t);
  const seed = (body: object) => control(sandbox, 'POST', 'apps', body);
  const sibling = await seed({ bundleId: 'com.example.camping', name: 'Camping' });
  t.match(sibling, { status: 201, body: { team: 'first', settings: { WEBDIST_BUNDLE_ID: 'com.example.camping' } } });
  t.equal((await seed({ bundleId: 'com.example.camping' })).status, 200, 'it exists');
  const other = await seed({ bundleId: 'org.example.chess', team: 'second', host: 'chess.example.org' });
  t.equal((await seed({ bundleId: 'not a bundle id' })).status, 400);
  const { settings } = other.body;
  t.match(settings, { WEBDIST_DOMAIN: 'chess.example.org', ASC_ISSUER_ID: /./ });
  t.not(settings.WEBDIST_KEY, sibling.body.settings.WEBDIST_KEY);

  const authorization = `Bearer ${apiToken(sandbox, {
    header: { kid: settings.ASC_KEY_ID },
    claims: { iss: settings.ASC_ISSUER_ID },
    key: createPrivateKey(Buffer.from(settings.ASC_PRIVATE_KEY_B64, 'base64').toString()),
  })}`;
  const ids = async (path: string, headers: object = {}) =>
    (await call(sandbox, 'GET', path, undefined, headers)).body.data.map(({ id }) => id);
  const chess = other.body.appleItemId;
  t.strictSame(await ids('/v1/apps'), [APP, sibling.body.appleItemId]);
  t.strictSame(await ids('/v1/apps', { authorization }), [chess]);
  const { id: key } = await addKey(sandbox);
  t.strictSame(await ids(KEYS, { authorization }), []);
  for (const path of [`${KEYS}/${key}`, `/v1/apps/${APP}`, `/v1/apps/${APP}/appStoreVersions`])
    t.equal(outcome(await call(sandbox, 'GET', path, undefined, { authorization })), '404 NOT_FOUND', path);
  t.equal(outcome(await call(sandbox, 'DELETE', `${KEYS}/${key}`, undefined, { authorization })), '404 NOT_FOUND');
  t.equal((await control(sandbox, 'POST', 'packages', { app: chess })).status, 201);
  t.equal((await ids(`/v1/apps/${chess}/appStoreVersions`, { authorization })).length, 2);
  t.equal((await control(sandbox, 'POST', 'packages', { app: '1' })).status, 404);
});
