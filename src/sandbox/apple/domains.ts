/** Alternative distribution domains of the simulated account (docs/apple-facts.md §4.5). */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { DistributionDomain } from '../state.ts';
import {
  type AppleAnswer,
  AppleRefusal,
  attributesOf,
  type Call,
  isLimit,
  isList,
  isListOf,
  itemOf,
  page,
  readEntity,
  single,
} from './json-api.ts';

const TYPE = 'alternativeDistributionDomains';
const PATH = '/v1/alternativeDistributionDomains';
const attributes = ['domain', 'referenceName', 'createdDate'] as const;

const fields = { 'fields[alternativeDistributionDomains]': isListOf(...attributes) };

/** Query parameters of the list and of reading one domain. */
export const listDomainsQuery = { ...fields, limit: isLimit, cursor: isList };
export const readDomainQuery = fields;

const newDomain = z.strictObject({
  data: z.strictObject({
    type: z.literal(TYPE),
    /** Absent from Apple's schema, present in its samples. */
    id: z.null().optional(),
    attributes: z.strictObject({ domain: z.string(), referenceName: z.string() }),
  }),
});

/** `POST /v1/alternativeDistributionDomains`. Throws 400, 409 and 422. */
export function addDomain(call: Call): AppleAnswer {
  const { domain, referenceName } = readEntity(call.body, newDomain).data.attributes;
  if (!isDomain(domain))
    throw refusal(
      'ENTITY_ERROR.ATTRIBUTE.INVALID',
      'domain',
      'The domain must be a lower-case host name without scheme, port, path or trailing dot.',
    );
  if (referenceName.trim() === '')
    throw refusal('ENTITY_ERROR.ATTRIBUTE.INVALID', 'referenceName', 'The reference name is empty.');
  const added = { id: randomUUID(), domain, referenceName, createdDate: new Date(call.nowMs).toISOString() };
  call.store.change((draft) => {
    if (draft.domains.some((other) => other.domain === domain))
      throw refusal(
        'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE',
        'domain',
        `The domain '${domain}' is already registered.`,
      );
    draft.domains.push(added);
  });
  const path = `${PATH}/${added.id}`;
  return { status: 201, headers: { location: call.origin + path }, body: single(call, path, resource(call, added)) };
}

const refusal = (
  code: 'ENTITY_ERROR.ATTRIBUTE.INVALID' | 'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE',
  name: string,
  detail: string,
) => new AppleRefusal(409, code, detail, { pointer: `/data/attributes/${name}` });

/** At least two labels, in A-label form. An IP address is refused: the last label must not be a number. */
function isDomain(text: string): boolean {
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?';
  return text.length <= 253 && new RegExp(`^(?:${label}\\.)+(?![0-9]+$)${label}$`).test(text);
}

/** `GET /v1/alternativeDistributionDomains`. */
export const listDomains = (call: Call): AppleAnswer =>
  page(call, call.store.state.domains, (domain) => resource(call, domain));

/** `GET /v1/alternativeDistributionDomains/{id}`. Throws 404. */
export function readDomain(call: Call): AppleAnswer {
  const domain = domainOf(call);
  return { status: 200, body: single(call, `${PATH}/${domain.id}`, resource(call, domain)) };
}

/** `DELETE /v1/alternativeDistributionDomains/{id}`. Throws 404. */
export function removeDomain(call: Call): AppleAnswer {
  const { id } = domainOf(call);
  call.store.change((draft) => {
    draft.domains = draft.domains.filter((domain) => domain.id !== id);
  });
  return { status: 204 };
}

const domainOf = (call: Call): DistributionDomain => itemOf(call, call.store.state.domains, TYPE);

function resource(call: Call, domain: DistributionDomain) {
  return {
    type: TYPE,
    id: domain.id,
    attributes: attributesOf(call, TYPE, attributes, domain),
    links: { self: `${call.origin}${PATH}/${domain.id}` },
  };
}
