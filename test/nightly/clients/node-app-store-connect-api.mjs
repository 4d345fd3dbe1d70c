// Uses node-app-store-connect-api as its README does. It follows only https links, so its `fetch` plays the TLS proxy.
import { api } from 'node-app-store-connect-api';

const { BASE_URL, ISSUER_ID, KEY_ID, PRIVATE_KEY, APP, PUBLIC_KEY } = process.env;
const { read, readAll, create, remove } = await api({
  issuerId: ISSUER_ID,
  apiKey: KEY_ID,
  privateKey: PRIVATE_KEY,
  urlBase: BASE_URL.replace('http:', 'https:'),
  fetch: (url, { headers, ...options }) =>
    fetch(url.replace(/^https:/, 'http:'), { ...options, headers: { ...headers, 'x-forwarded-proto': 'https' } }),
});
const apps = await readAll('apps?include=appStoreVersions');
const key = await create({
  type: 'alternativeDistributionKeys',
  attributes: { publicKey: PUBLIC_KEY },
  relationships: { app: { type: 'apps', id: APP } },
});
const keyOfApp = await read(`apps/${APP}/alternativeDistributionKey`);
const domains = await readAll('alternativeDistributionDomains?limit=2');
await remove(key);
const error = await read(`apps/${APP}/alternativeDistributionKey`).then(
  () => undefined,
  (thrown) => thrown,
);
console.log(
  JSON.stringify({
    apps: apps.data.map(({ id }) => id),
    versions: Object.keys(apps.included.appStoreVersions).length,
    isKeyOfApp: keyOfApp.data.id === key.id,
    domains: domains.data.map(({ attributes }) => attributes.domain),
    error: /NOT_FOUND/.exec(`${error?.message} ${JSON.stringify(error)}`)?.[0],
  }),
);
