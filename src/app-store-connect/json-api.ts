/**
 * The four operations on App Store Connect's JSON:API documents (https://jsonapi.org/format/): read one resource, list
 * all pages, add, remove. Every request stays within the API that was opened.
 */

import { hasCode, WebdistError } from '../errors.ts';
import { ascError } from './classify.ts';
import type { Send } from './http.ts';
import { type Reader, readPage, readSingle } from './resources.ts';

/** Path segments below `/v1/`; each is encoded. */
type Path = readonly string[];
type Query = Readonly<Record<string, string>>;

/** All methods throw `asc_…`, and `usage_invalid` for a text that cannot be an id. */
export type JsonApi = {
  /** Reads one resource; null if Apple responds with 404 or `data: null`. */
  read<T>(reader: Reader<T>, path: Path, query?: Query): Promise<T | null>;
  /** Reads all pages of one type of resource, or of the resources below another one. */
  list<T>(reader: Reader<T>, path: string | Path, query: Query): Promise<T[]>;
  add<T>(reader: Reader<T>, type: string, data: object): Promise<T>;
  /** Removes a resource. If the response is lost, reads the resource: succeeds if it is gone, else throws. */
  remove(type: string, id: string): Promise<void>;
};

/** At 200 resources per page, this is far more than any account has. */
const MAX_PAGES = 50;

/**
 * Takes the base URL of the API, the function that sends, and one that returns the abort signal for one operation.
 * Throws `config_invalid` if the URL is not a plain http(s) URL.
 */
export function openJsonApi(options: {
  readonly baseUrl: string;
  readonly send: Send;
  readonly deadline: () => AbortSignal;
}): JsonApi {
  const { send, deadline } = options;
  const base = baseOf(options.baseUrl);
  const urlOf = (path: Path, query: Query = {}) => {
    const url = new URL(path.map(segment).join('/'), base);
    url.search = new URLSearchParams(query).toString();
    return url;
  };

  const api: JsonApi = {
    async read(reader, path, query) {
      const url = urlOf(path, query);
      try {
        return readSingle(reader, await send({ method: 'GET', url, signal: deadline() }), nameOf('GET', url));
      } catch (error) {
        if (hasCode(error, 'asc_not_found')) return null;
        throw error;
      }
    },
    async list(reader, path, query) {
      const found = [];
      const signal = deadline();
      let url: URL | undefined = urlOf(typeof path === 'string' ? [path] : path, { ...query, limit: '200' });
      for (let pages = 0; url; pages++) {
        const name = nameOf('GET', url);
        if (pages === MAX_PAGES) throw ascError('asc_outage', `${name}: more than ${MAX_PAGES} pages.`);
        const page = readPage(reader, await send({ method: 'GET', url, signal }), name);
        found.push(...page.items);
        url = nextOf(page.next, url, base);
      }
      return found;
    },
    async add(reader, type, data) {
      const url = urlOf([type]);
      const document = await send({ method: 'POST', url, json: { data: { type, ...data } }, signal: deadline() });
      const added = readSingle(reader, document, nameOf('POST', url));
      if (added === null) throw ascError('asc_outage', `${nameOf('POST', url)}: the response is empty.`);
      return added;
    },
    async remove(type, id) {
      try {
        await send({ method: 'DELETE', url: urlOf([type, id]), signal: deadline() });
      } catch (error) {
        if (!hasCode(error, 'asc_outage')) throw error;
        if ((await api.read(() => true, [type, id])) !== null) throw error;
      }
    },
  };
  return api;
}

const nameOf = (method: string, url: URL) => `${method} ${url.pathname}`;

/** Returns the URL `…/v1/`, which all paths are below. The base URL of a proxy may have a path of its own. */
function baseOf(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw new WebdistError('config_invalid', 'ASC_BASE_URL is not a plain http or https URL.');
  return new URL(`${url.pathname.replace(/\/+$/, '')}/v1/`, url);
}

/** Ids are opaque. An id such as `.` or `..` must not change which resource is deleted. */
function segment(text: string): string {
  if (/^\.{0,2}$/.test(text)) throw new WebdistError('usage_invalid', `"${text}" is not an App Store Connect id.`);
  return encodeURIComponent(text);
}

/**
 * `links.next` is followed unchanged (docs/apple-facts.md §4.8), but only within this API, because the bearer JWT is
 * sent to it.
 */
function nextOf(next: string | undefined, from: URL, base: URL): URL | undefined {
  if (next === undefined) return undefined;
  const url = URL.canParse(next, from) ? new URL(next, from) : undefined;
  const isOurs = url?.origin === base.origin && url.pathname.startsWith(base.pathname);
  if (!isOurs || url.username || url.password)
    throw ascError('asc_outage', `${nameOf('GET', from)}: the link to the next page is outside the API.`);
  return url;
}
