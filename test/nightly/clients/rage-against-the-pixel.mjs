// Uses @rage-against-the-pixel/app-store-connect-api as its README does; only the address is different.
import api from '@rage-against-the-pixel/app-store-connect-api';

const { BASE_URL, ISSUER_ID, KEY_ID, PRIVATE_KEY, APP, PUBLIC_KEY } = process.env;
const client = new api.AppStoreConnectClient({ issuerId: ISSUER_ID, privateKeyId: KEY_ID, privateKey: PRIVATE_KEY });
const { Apps, AlternativeDistributionDomains, AlternativeDistributionKeys } = client.api;
const baseUrl = BASE_URL;
const apps = await Apps.appsGetCollection({ baseUrl, query: { include: ['appStoreVersions'], limit: 10 } });
const added = await AlternativeDistributionKeys.alternativeDistributionKeysCreateInstance({
  baseUrl,
  body: {
    data: {
      type: 'alternativeDistributionKeys',
      attributes: { publicKey: PUBLIC_KEY },
      relationships: { app: { data: { type: 'apps', id: APP } } },
    },
  },
});
const keyOfApp = await Apps.appsAlternativeDistributionKeyGetToOneRelated({ baseUrl, path: { id: APP } });
const domains = [];
for (let cursor; ; ) {
  const { data } = await AlternativeDistributionDomains.alternativeDistributionDomainsGetCollection({
    baseUrl,
    query: { limit: 2, ...(cursor && { cursor }) },
  });
  domains.push(...data.data.map(({ attributes }) => attributes.domain));
  cursor = data.meta.paging.nextCursor;
  if (!cursor) break;
}
const { id } = added.data.data;
await AlternativeDistributionKeys.alternativeDistributionKeysDeleteInstance({ baseUrl, path: { id } });
const gone = await Apps.appsAlternativeDistributionKeyGetToOneRelated({ baseUrl, path: { id: APP } });
console.log(
  JSON.stringify({
    apps: apps.data.data.map((app) => app.id),
    versions: apps.data.included.length,
    isKeyOfApp: keyOfApp.data.data.id === id,
    domains,
    error: gone.error.errors[0].code,
  }),
);
