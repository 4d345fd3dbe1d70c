/**
 * Alternative distribution keys of the simulated account (docs/apple-facts.md §4.4). Where Apple's behaviour is
 * unknown, the simulation is strict, and a comment states the assumption.
 */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { isWebdistError } from '../../errors.ts';
import { readPublicKey, spki } from '../../jws.ts';
import type { DistributionKey, SandboxState } from '../state.ts';
import { created } from './documents.ts';
import { type AppleAnswer, AppleRefusal, type Call, readEntity, type Write } from './json-api.ts';

const TYPE = 'alternativeDistributionKeys';

/** The code that refuses a second key for an app. This is an assumption; Apple may instead replace the first key. */
const SECOND_APP_KEY = 'ENTITY_ERROR.RELATIONSHIP.INVALID';

/** The requests that change keys. */
export const keyWrites: readonly Write[] = [
  ['POST', TYPE, addKey],
  ['DELETE', TYPE, removeKey],
];

const newKey = z.strictObject({
  data: z.strictObject({
    type: z.literal(TYPE),
    /** Apple's schema does not have this member, but its samples do. */
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
function addKey(call: Call): AppleAnswer {
  const { data } = readEntity(call.body, newKey);
  const key = {
    id: randomUUID(),
    spki: spkiOf(data.attributes.publicKey),
    appId: data.relationships?.app?.data.id ?? null,
    team: call.team,
  };
  call.store.change((draft) => {
    refuseConflicts(draft, key);
    draft.keys.push(key);
  });
  return created(call, TYPE, key.id);
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
  const ofTeam = state.keys.filter(({ team }) => team === key.team);
  if (key.appId !== null && !state.apps.some(({ id, team }) => id === key.appId && team === key.team))
    throw new AppleRefusal(409, 'ENTITY_ERROR.RELATIONSHIP.INVALID', `There is no app '${key.appId}'.`, {
      pointer: '/data/relationships/app',
    });
  if (ofTeam.some((other) => other.spki === key.spki))
    throw new AppleRefusal(409, 'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE', 'This public key is already registered.', {
      pointer: '/data/attributes/publicKey',
    });
  if (key.appId !== null && ofTeam.some((other) => other.appId === key.appId))
    throw new AppleRefusal(409, SECOND_APP_KEY, `The app '${key.appId}' already has a key.`, {
      pointer: '/data/relationships/app',
    });
}

/** `DELETE /v1/alternativeDistributionKeys/{id}`, which exists. */
function removeKey(call: Call): AppleAnswer {
  call.store.change((draft) => {
    draft.keys = draft.keys.filter(({ id }) => id !== call.id);
  });
  return { status: 204 };
}
