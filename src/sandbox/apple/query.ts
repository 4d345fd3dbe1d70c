/** Query parameters of the simulated App Store Connect, derived from the table of resources (docs/apple-facts.md §4.3, §4.8). */

import type { Entity } from './entities.ts';
import { AppleRefusal, type Query } from './json-api.ts';
import { MAX_INCLUDED, type ResourceType, resourceTypes, type TypeName } from './resource-types.ts';

/** The query parameters that a path accepts, each with a test of its value. */
export type QueryRules = Readonly<Record<string, (value: string) => boolean>>;

const isLimitUpTo = (max: number) => (value: string) => /^[1-9][0-9]{0,2}$/.test(value) && Number(value) <= max;
const isBoolean = (value: string) => value === 'true' || value === 'false';
const isList = (value: string) => value !== '' && value.split(',').every((member) => member !== '');
const isListOf = (allowed: readonly string[]) => (value: string) =>
  value.split(',').every((member) => allowed.includes(member));

/** Parameters of a page: its size, a whole number up to 200, and an opaque cursor. */
export const pageRules: QueryRules = { limit: isLimitUpTo(200), cursor: isList };

/** Parameters of every response with resources of this type: `fields`, `include` and `limit[…]`. */
export function resourceRules(type: TypeName): QueryRules {
  const row = resourceTypes[type];
  const included = Object.entries(row.relationships).filter(([, { isIncludable }]) => isIncludable);
  const includable = [...included.map(([name]) => name), ...(row.empty?.one ?? []), ...(row.empty?.many ?? [])];
  const many = [...included.filter(([, { isMany }]) => isMany).map(([name]) => name), ...(row.empty?.many ?? [])];
  const types = new Set([type, ...included.map(([, relationship]) => relationship.type)]);
  return {
    // `fields` of a type without resources here selects nothing, so any name is accepted.
    ...Object.fromEntries((row.empty?.types ?? []).map((name) => [`fields[${name}]`, isList])),
    ...Object.fromEntries([...types].map((name) => [`fields[${name}]`, isListOf(fieldsOf(resourceTypes[name]))])),
    ...Object.fromEntries(many.map((name) => [`limit[${name}]`, isLimitUpTo(MAX_INCLUDED)])),
    ...(includable.length > 0 && { include: isListOf(includable) }),
  };
}

/**
 * Parameters of a list of this type. `exists` and `sort` are for the list of all resources, not for the list of one
 * resource's related resources.
 */
export function listRules(type: TypeName, isOfAll: boolean): QueryRules {
  const { filters = {}, exists = [], sort = [] } = resourceTypes[type];
  return {
    ...pageRules,
    ...resourceRules(type),
    ...Object.fromEntries(
      Object.entries(filters).map(([name, allowed]) => [`filter[${name}]`, allowed ? isListOf(allowed) : isList]),
    ),
    ...(isOfAll && Object.fromEntries(exists.map((name) => [`exists[${name}]`, isBoolean]))),
    ...(isOfAll && sort.length > 0 && { sort: isListOf(sort.flatMap((name) => [name, `-${name}`])) }),
  };
}

const fieldsOf = ({ attributes, relationships, empty }: ResourceType) => [
  ...attributes,
  ...Object.keys(relationships),
  ...(empty ? [...empty.one, ...empty.many, ...empty.unlisted] : []),
];

/** Checks the query of a request. Throws 400 `PARAMETER_ERROR.ILLEGAL` or `.INVALID`. */
export function readQuery(parameters: URLSearchParams, rules: QueryRules): Query {
  const query = new Map<string, string>();
  for (const [parameter, value] of parameters) {
    const isValid = Object.hasOwn(rules, parameter) ? rules[parameter] : undefined;
    if (!isValid)
      throw new AppleRefusal(
        400,
        'PARAMETER_ERROR.ILLEGAL',
        `The parameter '${parameter}' can not be used with this request.`,
        { parameter },
      );
    if (query.has(parameter) || !isValid(value))
      throw new AppleRefusal(
        400,
        'PARAMETER_ERROR.INVALID',
        `'${value}' is not a valid value for the parameter '${parameter}'.`,
        { parameter },
      );
    query.set(parameter, value);
  }
  return query;
}

/** Returns the resources that `filter[…]` and `exists[…]` select, in the order of `sort`. */
export function select(query: Query, entities: readonly Entity[]): Entity[] {
  let selected = [...entities];
  for (const [parameter, value] of query) {
    const [, kind, name = ''] = /^(filter|exists)\[(.+)\]$/.exec(parameter) ?? [];
    if (kind === 'filter') {
      const wanted = value.split(',');
      selected = selected.filter((entity) => valuesOf(entity, name).some((found) => wanted.includes(found)));
    }
    if (kind === 'exists') selected = selected.filter((entity) => String(entity.related(name).length > 0) === value);
  }
  const orders = query.get('sort')?.split(',') ?? [];
  return selected.toSorted((a, b) => {
    for (const order of orders) {
      const name = order.replace(/^-/, '');
      const result = textOf(a, name).localeCompare(textOf(b, name));
      if (result !== 0) return order.startsWith('-') ? -result : result;
    }
    return 0;
  });
}

/**
 * Returns the values that a filter compares: an attribute, `id`, the ids of a relationship, or attributes of related
 * resources.
 */
function valuesOf(entity: Entity, name: string): string[] {
  const [first = '', behind] = name.split('.');
  if (behind !== undefined) return entity.related(first).map((one) => textOf(one, behind));
  const isAttribute = first === 'id' || resourceTypes[entity.type].attributes.includes(first);
  return isAttribute ? [textOf(entity, first)] : entity.related(first).map(({ id }) => id);
}

const textOf = (entity: Entity, name: string): string =>
  name === 'id' ? entity.id : String(entity.attributes()[name] ?? '');
