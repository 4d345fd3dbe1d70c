/** The page at `/docs`: the description of the API (`/openapi.json`) for people, with an example for each operation. */

import { escapeHtml, inline, pageOf } from './html.ts';
import { problemGuides } from './problem-guide.ts';

/** What the page uses of a JSON Schema (draft 2020-12) and of an OpenAPI 3.1 document. */
type Schema = {
  readonly $ref?: string;
  readonly type?: string;
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
};
type Content = Readonly<Record<string, { readonly schema?: Schema }>>;
type Operation = {
  readonly operationId?: string;
  readonly summary?: string;
  readonly description?: string;
  readonly tags?: readonly string[];
  readonly security?: readonly Readonly<Record<string, unknown>>[];
  readonly parameters?: readonly { name: string; required?: boolean; description?: string; schema?: Schema }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses?: Readonly<Record<string, { readonly description?: string; readonly content?: Content }>>;
};
export type ApiDocument = {
  readonly info: { readonly title: string; readonly version: string };
  readonly tags?: readonly { readonly name: string; readonly description?: string }[];
  readonly paths?: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components?: { readonly schemas?: Readonly<Record<string, Schema>> };
};

/** A working body for each operation that has one, and for others an addition to the path. */
const examples: Readonly<Record<string, string>> = {
  issueInstallToken: '{}',
  issueInstallTokens: '{"requests":[{"subject":"device-1"},{"subject":"device-2"}]}',
  reportInstall: '{"nonce":"5E0C1B5A-8C0E-4B4B-9C64-0A3B7C1F2D90"}',
  restoreApps:
    '{"apps":[{"appleItemId":"6500000001","appleVersionId":"2000000042"}],"platform":"iOS","osVersion":"18.6"}',
  updateApps:
    '{"apps":[{"appleItemId":"6500000001","appleVersionId":"2000000042"}],"platform":"iOS","osVersion":"18.6"}',
};

/** Returns the page, as HTML. `origin` is the origin of the service in the examples. */
export function apiPage(api: ApiDocument, origin: string): string {
  const operations = Object.entries(api.paths ?? {}).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  const groups = (api.tags ?? []).map(({ name, description = '' }) => {
    const own = operations.filter(({ operation }) => operation.tags?.includes(name));
    const title = name.charAt(0).toUpperCase() + name.slice(1);
    return `<h2>${escapeHtml(title)}</h2>\n<p class="subtle">${inline(description)}</p>\n${own.map((one) => operationHtml(api, one, origin)).join('\n')}`;
  });
  const lead = `Version ${api.info.version}. For programs: [openapi.json](openapi.json). Errors: [problems](problems).`;
  const key = `${LOCK} a credential is required · ${OPEN_LOCK} a credential is optional · no lock: no credential is used`;
  const body = `<h1>The HTTP API of webdist</h1>\n<p>${inline(lead)}</p>\n<p class="subtle">${key}</p>\n${groups.join('\n')}`;
  return pageOf({ title: 'HTTP API', description: 'Every operation of the HTTP API of webdist, with examples', body });
}

type Located = { readonly path: string; readonly method: string; readonly operation: Operation };

function operationHtml(api: ApiDocument, { path, method, operation }: Located, origin: string): string {
  const { summary = '', description, parameters = [], requestBody, responses = {} } = operation;
  const [body] = Object.values(requestBody?.content ?? {});
  const fields = [
    ...parameters.map((one) => row(one.name, typeOf(api, one.schema), one.required, one.description)),
    ...rowsOf(api, body?.schema),
  ];
  const success = Object.entries(responses).find(([status]) => /^[23]/.test(status));
  const [content] = Object.values(success?.[1].content ?? {});
  const answer = rowsOf(api, content?.schema);
  const refusals = Object.entries(responses).filter(([status]) => /^[45]/.test(status));
  const parts = [
    description ? `<p>${inline(description)}</p>` : '',
    exampleHtml({ path, method, operation }, origin),
    table('Request', fields),
    table(`Response ${success?.[0] ?? ''}`, answer),
    table(
      'Problems',
      refusals.map(
        ([status, one]) => `<tr><th scope="row">${status}</th><td>${problemLinks(one.description ?? '')}</td></tr>`,
      ),
    ),
  ];
  const heading = `<span class="method">${method}</span> <code>${escapeHtml(path)}</code>`;
  return `<details id="${escapeHtml(operation.operationId ?? '')}">
<summary>${lockHtml(operation)}${heading}<br><span class="subtle">${inline(summary)}</span></summary>
<div>${parts.join('')}</div>
</details>`;
}

function lockHtml({ security = [] }: Operation): string {
  if (security.length === 0) return '';
  return security.some((one) => Object.keys(one).length === 0) ? OPEN_LOCK : LOCK;
}

const lock = (name: string, shackle: string): string =>
  `<svg class="lock" viewBox="0 0 16 16" role="img" aria-label="${name}"><title>${name}</title><path d="M3 7h10v7H3z${shackle}"/></svg>`;
const LOCK = lock('A credential is required', 'M5 7V5a3 3 0 0 1 6 0v2');
const OPEN_LOCK = lock('A credential is optional', 'M5 7V5a3 3 0 0 1 5.5-1.5');

/** Returns a command that can be pasted; none for operations that need input that only a device or a login page has. */
function exampleHtml({ path, method, operation }: Located, origin: string): string {
  const body = examples[operation.operationId ?? ''];
  if (operation.requestBody ? body === undefined : method !== 'GET' || path.startsWith('/oauth/')) return '';
  const isKeyed = operation.security?.some((one) => 'apiKey' in one) && operation.security.length === 1;
  const words = [
    `curl -s ${method === 'GET' ? '' : `-X ${method} `}${origin}${path.replace('{code}', 'rate_limited')}`,
    ...(isKeyed ? ['-H "authorization: Bearer $WEBDIST_API_KEY"'] : []),
    ...(body === undefined ? [] : ["-H 'content-type: application/json'", `-d '${body}'`]),
  ];
  return `<h3>Example</h3><pre>${escapeHtml(words.join(' \\\n  '))}</pre>`;
}

const table = (title: string, rows: readonly string[]): string =>
  rows.length === 0 ? '' : `<h3>${title}</h3><table>${rows.join('')}</table>`;

const row = (name: string, type: string, isRequired = false, description = ''): string =>
  `<tr><th scope="row"><code>${escapeHtml(name)}</code></th><td>${escapeHtml(type)}${isRequired ? ', required' : ''}</td><td>${inline(description)}</td></tr>`;

/** A row for each member of an object, and of the objects in it. */
function rowsOf(api: ApiDocument, schema: Schema | undefined, prefix = ''): string[] {
  const whole = resolved(api, schema);
  const members = Object.entries(whole.properties ?? {}).flatMap(([name, member]) => {
    const { description } = resolved(api, member);
    const isRequired = whole.required?.includes(name) ?? false;
    return [
      row(prefix + name, typeOf(api, member), isRequired, description),
      ...rowsOf(api, member, `${prefix}${name}.`),
    ];
  });
  const alternatives = [...(whole.anyOf ?? []), ...(whole.oneOf ?? [])].flatMap((one) => rowsOf(api, one, prefix));
  const items = whole.items ? rowsOf(api, whole.items, prefix.replace(/\.$/, '[].')) : [];
  return [...new Set([...members, ...alternatives, ...items])];
}

function typeOf(api: ApiDocument, schema: Schema | undefined): string {
  const { type, enum: words, items, anyOf } = resolved(api, schema);
  if (words && words.length <= 6) return words.join(' | ');
  if (items) return `array of ${typeOf(api, items)}`;
  if (type) return type;
  return [...new Set(anyOf?.map((one) => typeOf(api, one)))].filter((one) => one !== 'any').join(' | ') || 'any';
}

const resolved = (api: ApiDocument, schema: Schema = {}): Schema =>
  schema.$ref ? (api.components?.schemas?.[schema.$ref.split('/').at(-1) ?? ''] ?? {}) : schema;

/** Each code in the text becomes a link to its page. */
const problemLinks = (text: string): string =>
  inline(text)
    .replace(/<code>(\w+)<\/code>/g, (code, name) =>
      problemGuides.has(name) ? `<a href="problems/${name}">${code}</a>` : code,
    )
    .replaceAll('\n\n', '<br>');
