/** Alternative distribution domains of the simulated account (docs/apple-facts.md §4.5). */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { created } from './documents.ts';
import { type AppleAnswer, AppleRefusal, type Call, readEntity, type Write } from './json-api.ts';

const TYPE = 'alternativeDistributionDomains';

/** The requests that change domains. */
export const domainWrites: readonly Write[] = [
  ['POST', TYPE, addDomain],
  ['DELETE', TYPE, removeDomain],
];

const newDomain = z.strictObject({
  data: z.strictObject({
    type: z.literal(TYPE),
    /** Apple's schema does not have this member, but its samples do. */
    id: z.null().optional(),
    attributes: z.strictObject({ domain: z.string(), referenceName: z.string() }),
  }),
});

/** `POST /v1/alternativeDistributionDomains`. Throws 400, 409 and 422. */
function addDomain(call: Call): AppleAnswer {
  const { domain, referenceName } = readEntity(call.body, newDomain).data.attributes;
  if (!isDomain(domain))
    throw refusal(
      'ENTITY_ERROR.ATTRIBUTE.INVALID',
      'domain',
      'The domain must be a lower-case host name without scheme, port, path or trailing dot.',
    );
  if (referenceName.trim() === '')
    throw refusal('ENTITY_ERROR.ATTRIBUTE.INVALID', 'referenceName', 'The reference name is empty.');
  const added = {
    id: randomUUID(),
    domain,
    referenceName,
    createdDate: new Date(call.nowMs).toISOString(),
    team: call.team,
  };
  call.store.change((draft) => {
    if (draft.domains.some((other) => other.domain === domain && other.team === call.team))
      throw refusal(
        'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE',
        'domain',
        `The domain '${domain}' is already registered.`,
      );
    draft.domains.push(added);
  });
  return created(call, TYPE, added.id);
}

const refusal = (
  code: 'ENTITY_ERROR.ATTRIBUTE.INVALID' | 'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE',
  name: string,
  detail: string,
) => new AppleRefusal(409, code, detail, { pointer: `/data/attributes/${name}` });

/** Matches at least two labels, in A-label form. The last label must not be a number, which refuses IP addresses. */
function isDomain(text: string): boolean {
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
  return text.length <= 253 && new RegExp(`^(?:${label}\\.)+(?![0-9]+$)${label}$`).test(text);
}

/** `DELETE /v1/alternativeDistributionDomains/{id}`, which exists. */
function removeDomain(call: Call): AppleAnswer {
  call.store.change((draft) => {
    draft.domains = draft.domains.filter(({ id }) => id !== call.id);
  });
  return { status: 204 };
}
