/** The apps of the simulated account (docs/apple-facts.md §4.3). */

import type { AccountApp } from '../state.ts';
import {
  type AppleAnswer,
  attributesOf,
  type Call,
  isLimit,
  isList,
  isListOf,
  itemOf,
  page,
  single,
} from './json-api.ts';

const attributes = ['bundleId', 'name', 'primaryLocale', 'sku'] as const;
const sortable = ['name', 'bundleId', 'sku'] as const;

const fields = { 'fields[apps]': isListOf(...attributes, 'alternativeDistributionKey') };

/** Query parameters of `GET /v1/apps` and `GET /v1/apps/{id}`. */
export const listAppsQuery = {
  ...fields,
  'filter[bundleId]': isList,
  'filter[id]': isList,
  'filter[name]': isList,
  'filter[sku]': isList,
  sort: isListOf(...sortable.flatMap((name) => [name, `-${name}`])),
  limit: isLimit,
  cursor: isList,
};
export const readAppQuery = fields;

/** `GET /v1/apps`. */
export function listApps(call: Call): AppleAnswer {
  const filters = (['bundleId', 'id', 'name', 'sku'] as const).map(
    (name) => [name, call.query.get(`filter[${name}]`)?.split(',')] as const,
  );
  const apps = call.store.state.apps.filter((app) =>
    filters.every(([name, values]) => values === undefined || values.includes(app[name])),
  );
  return page(call, sorted(apps, call.query.get('sort')), (app) => resource(call, app));
}

/** `GET /v1/apps/{id}`. Throws 404. */
export function readApp(call: Call): AppleAnswer {
  const app = appOf(call);
  return { status: 200, body: single(call, `/v1/apps/${app.id}`, resource(call, app)) };
}

/** The app named in the path. Throws 404 `NOT_FOUND`. */
export const appOf = (call: Call): AccountApp => itemOf(call, call.store.state.apps, 'apps');

function sorted(apps: readonly AccountApp[], sort = ''): AccountApp[] {
  const orders = sort.split(',').map((order) => ({
    name: sortable.find((name) => order.replace(/^-/, '') === name),
    sign: order.startsWith('-') ? -1 : 1,
  }));
  return apps.toSorted((a, b) => {
    for (const { name, sign } of orders) {
      const order = name ? a[name].localeCompare(b[name]) * sign : 0;
      if (order !== 0) return order;
    }
    return 0;
  });
}

function resource(call: Call, app: AccountApp) {
  const self = `${call.origin}/v1/apps/${app.id}`;
  return {
    type: 'apps',
    id: app.id,
    attributes: attributesOf(call, 'apps', attributes, app),
    relationships: {
      alternativeDistributionKey: {
        links: {
          self: `${self}/relationships/alternativeDistributionKey`,
          related: `${self}/alternativeDistributionKey`,
        },
      },
    },
    links: { self },
  };
}
