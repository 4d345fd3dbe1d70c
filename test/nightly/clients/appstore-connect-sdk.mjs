// Uses appstore-connect-sdk as its README does; only the address is different.
import {
  alternativeDistributionDomainsGetCollection,
  alternativeDistributionKeysCreateInstance,
  alternativeDistributionKeysDeleteInstance,
  appsAlternativeDistributionKeyGetToOneRelated,
  appsGetCollection,
  createClient,
} from 'appstore-connect-sdk';

const { BASE_URL, ISSUER_ID, KEY_ID, PRIVATE_KEY, APP, PUBLIC_KEY } = process.env;
const client = createClient({ baseUrl: BASE_URL, issuerId: ISSUER_ID, privateKeyId: KEY_ID, privateKey: PRIVATE_KEY });
const apps = await appsGetCollection({ client, query: { include: ['appStoreVersions'], limit: 10 } });
const added = await alternativeDistributionKeysCreateInstance({
  client,
  body: {
    data: {
      type: 'alternativeDistributionKeys',
      attributes: { publicKey: PUBLIC_KEY },
      relationships: { app: { data: { type: 'apps', id: APP } } },
    },
  },
});
const keyOfApp = await appsAlternativeDistributionKeyGetToOneRelated({ client, path: { id: APP } });
const domains = [];
for (let cursor; ; ) {
  const { data } = await alternativeDistributionDomainsGetCollection({
    client,
    query: { limit: 2, ...(cursor && { cursor }) },
  });
  domains.push(...data.data.map(({ attributes }) => attributes.domain));
  cursor = data.meta.paging.nextCursor;
  if (!cursor) break;
}
const { id } = added.data.data;
await alternativeDistributionKeysDeleteInstance({ client, path: { id } });
const gone = await appsAlternativeDistributionKeyGetToOneRelated({ client, path: { id: APP } });
console.log(
  JSON.stringify({
    apps: apps.data.data.map((app) => app.id),
    versions: apps.data.included.length,
    isKeyOfApp: keyOfApp.data.data.id === id,
    domains,
    error: gone.error.errors[0].code,
  }),
);
