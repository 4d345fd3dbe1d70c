/**
 * Alternative distribution keys of the simulated account (docs/apple-facts.md §4.4). Where Apple's behaviour is unknown,
 * the simulation is strict; the assumptions are named below.
 */

import { createPublicKey, randomUUID } from 'node:crypto';
import { z } from 'zod';
import { isWebdistError } from '../../errors.ts';
import { publicKeyPem, readPublicKey, spki } from '../../jws.ts';
import type { DistributionKey, SandboxState } from '../state.ts';
import { appOf } from './apps.ts';
import {
  type AppleAnswer,
  AppleRefusal,
  type Call,
  isBoolean,
  isLimit,
  isList,
  isListOf,
  itemOf,
  page,
  readEntity,
  single,
} from './json-api.ts';

const TYPE = 'alternativeDistributionKeys';
const PATH = '/v1/alternativeDistributionKeys';

const fields = { 'fields[alternativeDistributionKeys]': isListOf('publicKey') };

/** Query parameters of the list and of reading one key. */
export const listKeysQuery = { ...fields, 'exists[app]': isBoolean, limit: isLimit, cursor: isList };
export const readKeyQuery = fields;

/** The response to reading an app's key when the app has none, even if there is a key for all apps (an assumption). */
const NO_APP_KEY = { status: 404, code: 'NOT_FOUND' } as const;

/** The code that refuses a second key for an app (an assumption: Apple may instead replace the first). */
const SECOND_APP_KEY = 'ENTITY_ERROR.RELATIONSHIP.INVALID';

const newKey = z.strictObject({
  data: z.strictObject({
    type: z.literal(TYPE),
    /** Absent from Apple's schema, present in its samples. */
    id: z.null().optional(),
    attributes: z.strictObject({ publicKey: z.string() }),
    relationships: z
      .strictObject({
        app: z.strictObject({ data: z.strictObject({ type: z.literal('apps'), id: z.string() }) }).optional(),
      })
      .optional(),
  }),
});

/** `POST /v1/alternativeDistributionKeys`. Throws 400, 409 and 422. */
export function addKey(call: Call): AppleAnswer {
  const { data } = readEntity(call.body, newKey);
  const key = {
    id: randomUUID(),
    spki: spkiOf(data.attributes.publicKey),
    appId: data.relationships?.app?.data.id ?? null,
  };
  call.store.change((draft) => {
    refuseConflicts(draft, key);
    draft.keys.push(key);
  });
  const path = `${PATH}/${key.id}`;
  return { status: 201, headers: { location: call.origin + path }, body: single(call, path, resource(call, key)) };
}

function spkiOf(pem: string): string {
  try {
    return spki(readPublicKey(pem));
  } catch (error) {
    if (!isWebdistError(error) || error.code !== 'key_invalid') throw error;
    throw new AppleRefusal(409, 'ENTITY_ERROR.ATTRIBUTE.INVALID', error.detail, {
      pointer: '/data/attributes/publicKey',
    });
  }
}

function refuseConflicts(state: SandboxState, key: DistributionKey): void {
  if (key.appId !== null && !state.apps.some(({ id }) => id === key.appId))
    throw new AppleRefusal(409, 'ENTITY_ERROR.RELATIONSHIP.INVALID', `There is no app '${key.appId}'.`, {
      pointer: '/data/relationships/app',
    });
  if (state.keys.some((other) => other.spki === key.spki))
    throw new AppleRefusal(409, 'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE', 'This public key is already registered.', {
      pointer: '/data/attributes/publicKey',
    });
  if (key.appId !== null && state.keys.some((other) => other.appId === key.appId))
    throw new AppleRefusal(409, SECOND_APP_KEY, `The app '${key.appId}' already has a key.`, {
      pointer: '/data/relationships/app',
    });
}

/** `GET /v1/alternativeDistributionKeys`; `exists[app]` selects keys with or without an app. */
export function listKeys(call: Call): AppleAnswer {
  const exists = call.query.get('exists[app]');
  const keys = call.store.state.keys.filter(({ appId }) => exists === undefined || String(appId !== null) === exists);
  return page(call, keys, (key) => resource(call, key));
}

/** `GET /v1/alternativeDistributionKeys/{id}`. Throws 404. */
export function readKey(call: Call): AppleAnswer {
  const key = keyOf(call);
  return { status: 200, body: single(call, `${PATH}/${key.id}`, resource(call, key)) };
}

/** `DELETE /v1/alternativeDistributionKeys/{id}`. Throws 404. */
export function removeKey(call: Call): AppleAnswer {
  const { id } = keyOf(call);
  call.store.change((draft) => {
    draft.keys = draft.keys.filter((key) => key.id !== id);
  });
  return { status: 204 };
}

/** `GET /v1/apps/{id}/alternativeDistributionKey`, the source of `kid`. Throws 404. */
export function readAppKey(call: Call): AppleAnswer {
  return {
    status: 200,
    body: single(call, `/v1/apps/${call.id}/alternativeDistributionKey`, resource(call, appKeyOf(call))),
  };
}

/** `GET /v1/apps/{id}/relationships/alternativeDistributionKey`. Throws 404. */
export function readAppKeyLinkage(call: Call): AppleAnswer {
  const { id } = appKeyOf(call);
  const app = `${call.origin}/v1/apps/${call.id}`;
  const links = {
    self: `${app}/relationships/alternativeDistributionKey`,
    related: `${app}/alternativeDistributionKey`,
  };
  return { status: 200, body: { data: { type: TYPE, id }, links } };
}

const keyOf = (call: Call): DistributionKey => itemOf(call, call.store.state.keys, TYPE);

function appKeyOf(call: Call): DistributionKey {
  const app = appOf(call);
  const key = call.store.state.keys.find(({ appId }) => appId === app.id);
  if (!key)
    throw new AppleRefusal(NO_APP_KEY.status, NO_APP_KEY.code, `There is no '${TYPE}' for the app '${app.id}'.`);
  return key;
}

function resource(call: Call, key: DistributionKey) {
  return {
    type: TYPE,
    id: key.id,
    attributes: { publicKey: nextSpelling(key.spki) },
    links: { self: `${call.origin}${PATH}/${key.id}` },
  };
}

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
