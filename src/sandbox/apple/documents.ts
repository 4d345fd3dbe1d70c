/**
 * JSON:API documents of the simulated App Store Connect: resources with `links`, `relationships` and `included`, single and
 * in pages (docs/apple-facts.md §4.4, §4.8; https://jsonapi.org/format/).
 */

import { type Entity, entitiesOf } from './entities.ts';
import { type AppleAnswer, AppleRefusal, type Call } from './json-api.ts';
import { select } from './query.ts';
import {
  type Relationship,
  type ResourceType,
  resourceTypes,
  type TypeName,
  USUAL_INCLUDED,
} from './resource-types.ts';

/**
 * Returns a response with one resource. `path` is the path of the request, unless the resource has just been created.
 */
export function single(call: Call, entity: Entity, path = call.target): AppleAnswer {
  return {
    status: 200,
    body: { data: resourceOf(call, entity), ...included(call, [entity]), links: { self: call.origin + path } },
  };
}

/** Returns the response to a `POST` that created the resource. */
export function created(call: Call, type: TypeName, id: string): AppleAnswer {
  const path = pathOf({ type, id });
  const { body } = single(call, named({ ...call, id }, type), path);
  return { status: 201, headers: { location: call.origin + path }, body: body ?? {} };
}

/** Returns the resource with the id in the path. Throws 404. */
export const named = (call: Call, type: TypeName): Entity =>
  entitiesOf(call, type).find(({ id }) => id === call.id) ?? notFound(call, type);

/** Returns a response with one page of these resources, filtered and sorted. Throws 400 for a bad cursor. */
export function list(call: Call, entities: readonly Entity[]): AppleAnswer {
  const { items, ...rest } = pageOf(call, select(call.query, entities));
  const data = items.map((entity) => resourceOf(call, entity));
  return { status: 200, body: { data, ...included(call, items), ...rest } };
}

/**
 * Returns the response of `/v1/TYPE/{id}/relationships/NAME`. Throws 404 if the relationship has a single resource, and
 * that does not exist.
 */
export function linkage(call: Call, entity: Entity, name: string, { isMany }: Relationship): AppleAnswer {
  const { links } = linksOf(call, entity, name);
  const found = entity.related(name).map(identifierOf);
  if (!isMany) return { status: 200, body: { data: found[0] ?? notFound(call, name), links } };
  const { items: data, ...rest } = pageOf(call, found);
  return { status: 200, body: { data, links: { ...rest.links, related: links.related }, meta: rest.meta } };
}

/** 404 for a resource that a path names; `what` is a type or a relationship. */
export function notFound(call: Call, what: string): never {
  throw new AppleRefusal(404, 'NOT_FOUND', `There is no '${what}' for the id '${call.id}'.`);
}

const pathOf = ({ type, id }: Pick<Entity, 'type' | 'id'>) => `/v1/${type}/${id}`;

const identifierOf = ({ type, id }: Entity) => ({ type, id });

function resourceOf(call: Call, entity: Entity) {
  const row = resourceTypes[entity.type];
  const fields = call.query.get(`fields[${entity.type}]`)?.split(',');
  const isKept = (name: string) => fields?.includes(name) ?? true;
  const kept = row.attributes.filter(isKept);
  const all = kept.length === 0 ? {} : entity.attributes();
  const attributes = Object.fromEntries(kept.map((name) => [name, all[name] ?? null]));
  const relationships = Object.fromEntries(
    Object.entries(relationshipsOf(row))
      .filter(([name]) => isKept(name))
      .map(([name, relationship]) => [name, relationshipOf(call, entity, name, relationship)] as const)
      .filter(([, members]) => Object.keys(members).length > 0),
  );
  return {
    ...identifierOf(entity),
    ...(Object.keys(attributes).length > 0 && { attributes }),
    ...(Object.keys(relationships).length > 0 && { relationships }),
    links: { self: call.origin + pathOf(entity) },
  };
}

/** Returns all relationships of a type, including those without resources here, because clients expect their links. */
function relationshipsOf({
  relationships,
  empty,
}: ResourceType): Record<string, Pick<Relationship, 'isMany' | 'hasPath'>> {
  const { one = [], many = [], unlisted = [] } = empty ?? {};
  return {
    ...relationships,
    ...Object.fromEntries([...one, ...unlisted].map((name) => [name, { hasPath: true }])),
    ...Object.fromEntries(many.map((name) => [name, { hasPath: true, isMany: true }])),
  };
}

/** A relationship has links if there is a path for it, and identifiers if the request includes it. */
function relationshipOf(
  call: Call,
  entity: Entity,
  name: string,
  relationship: Pick<Relationship, 'isMany' | 'hasPath'>,
) {
  const links = relationship.hasPath && linksOf(call, entity, name);
  if (!includedNames(call).includes(name)) return { ...links };
  const all = entity.related(name);
  const { kept, limit } = withinLimit(call, name, all);
  const data = kept.map(identifierOf);
  if (relationship.isMany) return { ...links, data, meta: { paging: { total: all.length, limit } } };
  return { ...links, ...(data[0] && { data: data[0] }) };
}

function linksOf(call: Call, entity: Entity, name: string) {
  const self = call.origin + pathOf(entity);
  return { links: { self: `${self}/relationships/${name}`, related: `${self}/${name}` } };
}

const includedNames = ({ query }: Call) => query.get('include')?.split(',') ?? [];

function withinLimit(call: Call, name: string, all: readonly Entity[]) {
  const limit = Number(call.query.get(`limit[${name}]`) ?? USUAL_INCLUDED);
  return { kept: all.slice(0, limit), limit };
}

/** `included`: each resource once. Absent if the request does not ask for it. */
function included(call: Call, entities: readonly Entity[]): { included?: object[] } {
  const names = includedNames(call);
  if (names.length === 0) return {};
  const found = new Map<string, Entity>();
  for (const entity of entities)
    for (const name of names)
      for (const one of withinLimit(call, name, entity.related(name)).kept) found.set(pathOf(one), one);
  const plain = { ...call, query: new Map([...call.query].filter(([name]) => name !== 'include')) };
  return { included: [...found.values()].map((entity) => resourceOf(plain, entity)) };
}

const DEFAULT_LIMIT = 50;

function pageOf<T>(call: Call, all: readonly T[]) {
  const limit = Number(call.query.get('limit') ?? DEFAULT_LIMIT);
  const begin = beginOf(call);
  const end = begin + limit;
  const nextCursor = end < all.length ? cursorFor(call, end) : undefined;
  const links = {
    self: call.origin + call.target,
    first: linkTo(call, undefined),
    ...(nextCursor && { next: linkTo(call, nextCursor) }),
  };
  const paging = { total: all.length, limit, ...(nextCursor && { nextCursor }) };
  return { items: all.slice(begin, end), links, meta: { paging } };
}

function linkTo(call: Call, cursor: string | undefined): string {
  const url = new URL(call.target, call.origin);
  url.searchParams.delete('cursor');
  if (cursor) url.searchParams.set('cursor', cursor);
  return url.href;
}

/** A cursor is only for the list that it came with. */
const cursorFor = ({ origin, target }: Call, begin: number) =>
  Buffer.from(`${new URL(target, origin).pathname} ${begin}`).toString('base64url');

function beginOf(call: Call): number {
  const cursor = call.query.get('cursor');
  if (cursor === undefined) return 0;
  const begin = / ([1-9][0-9]{0,8})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1];
  if (begin === undefined || cursor !== cursorFor(call, Number(begin)))
    throw new AppleRefusal(400, 'PARAMETER_ERROR.INVALID', `'${cursor}' is not a valid cursor.`, {
      parameter: 'cursor',
    });
  return Number(begin);
}
