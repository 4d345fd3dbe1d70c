/** Requests that are nearly valid: for each path, bodies with its own members, and meaningful headers. */

import fc from 'fast-check';

export type Sent = {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array | undefined;
};

/** Valid credentials of each kind. */
export type Known = {
  readonly apiKey: string;
  readonly cookie: string;
  readonly nonce: string;
  readonly subject_token: string;
  readonly access_token: string;
  readonly refresh_token: string;
  /** The `request` that a login page receives. */
  readonly login: string;
};

/** A valid text, or one with a few characters replaced. */
const nearly = (good: string) =>
  fc.oneof(
    fc.constant(good),
    fc
      .tuple(fc.nat(good.length), fc.nat(8), fc.string({ maxLength: 8 }))
      .map(([at, length, piece]) => good.slice(0, at) + piece + good.slice(at + length)),
  );

const anyBody = fc.oneof(
  fc.constant(undefined),
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.uint8Array({ maxLength: 200 }),
  fc.json(),
  fc.constantFrom('[', '{"a":'.repeat(2000), '"\\ud800"', '{"__proto__":{"app":1}}', '{"constructor":null}'),
  fc.constant('x'.repeat(20_000)),
);

const member = (good: fc.Arbitrary<unknown>) => fc.oneof({ arbitrary: good, weight: 3 }, fc.jsonValue());
const name = member(fc.constantFrom('com.example.trailmap', '6500000001', 'com.example.other', '', 'a'.repeat(200)));
const word = member(fc.oneof(fc.string(), fc.constantFrom('customer', 'ü', '\u0000', 'a'.repeat(5000))));

const install = fc.record(
  {
    app: name,
    bundleID: name,
    bundleId: name,
    appleItemId: name,
    account: word,
    token: word,
    subject: word,
    dtype: member(fc.constantFrom('download', 'redownload')),
    country: member(fc.constantFrom('IE', 'ie', 'XX')),
    version: member(fc.constantFrom('2000000042', '0', '9'.repeat(21))),
    redownload: member(fc.boolean()),
  },
  { requiredKeys: [] },
);

const device = fc.record(
  {
    apps: member(
      fc.array(
        member(
          fc.record({
            appleItemId: member(fc.constantFrom('6500000001', 6500000001, '1')),
            appleVersionId: member(fc.constantFrom('2000000042', '2000000041', 7)),
          }),
        ),
        { maxLength: 5 },
      ),
    ),
    platform: member(fc.constantFrom('iOS', 'iPadOS')),
    osVersion: member(fc.constantFrom('18.5', '26', '18.', `1${'.1'.repeat(40)}`)),
  },
  { requiredKeys: [] },
);

const grants = ['token-exchange', 'refresh_token', 'authorization_code'];
const prefix = 'urn:ietf:params:oauth:grant-type:';
const oauth = ({ subject_token, refresh_token }: Known) =>
  fc.record(
    {
      grant_type: fc.oneof(fc.constantFrom(...grants.flatMap((grant) => [grant, prefix + grant])), fc.string()),
      subject_token: nearly(subject_token),
      subject_token_type: nearly('urn:ietf:params:oauth:token-type:access_token'),
      refresh_token: nearly(refresh_token),
      code: nearly(subject_token),
      code_verifier: fc.oneof(fc.constant('v'.repeat(43)), fc.string()),
      client_id: fc.string(),
      redirect_uri: nearly('app-distribution-oauth://'),
    },
    { requiredKeys: [] },
  );

/** A request to one path. */
type Form = { readonly type: string; readonly body: fc.Arbitrary<Sent['body']>; readonly query?: fc.Arbitrary<object> };

const json = (value: fc.Arbitrary<unknown>): Form => ({
  type: 'application/json',
  body: fc.oneof(anyBody, { arbitrary: value.map((body) => JSON.stringify(body)), weight: 8 }),
});
const encoded = (all: object) =>
  new URLSearchParams(
    Object.entries(all).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  ).toString();

const authorization = fc.record(
  {
    response_type: fc.constant('code'),
    client_id: fc.string({ minLength: 1 }),
    code_challenge: fc.oneof(fc.constant('c'.repeat(43)), fc.string()),
    code_challenge_method: fc.constant('S256'),
    redirect_uri: nearly('app-distribution-oauth://'),
    state: fc.string(),
    login_hint: fc.string(),
  },
  { requiredKeys: ['response_type', 'client_id', 'code_challenge', 'code_challenge_method'] },
);

/** The paths, and what each accepts. */
const forms = (known: Known): Readonly<Record<string, Form>> => ({
  '/install-token': { ...json(install), query: install },
  '/install-tokens': json(
    fc.record({ requests: member(fc.array(member(install), { maxLength: 5 })) }, { requiredKeys: [] }),
  ),
  '/installs': json(
    fc.record({ nonce: member(nearly(known.nonce)), app: name, subject: word, device: word }, { requiredKeys: [] }),
  ),
  '/marketplace-kit/restore': json(device),
  '/marketplace-kit/updates': json(device),
  '/oauth/token': {
    type: 'application/x-www-form-urlencoded',
    body: fc.oneof(anyBody, { arbitrary: oauth(known).map(encoded), weight: 8 }),
  },
  '/oauth/code': json(
    fc.record({ request: member(nearly(known.login)), subject: word }, { requiredKeys: ['request', 'subject'] }),
  ),
  '/oauth/authorize': { type: 'application/json', body: anyBody, query: authorization },
  '/.well-known/marketplace-kit': { type: 'application/json', body: anyBody, query: fc.constant({}) },
  '/metrics': { type: 'application/json', body: anyBody, query: fc.constant({}) },
});

/** Requests to each path: mostly with its own method and content type, sometimes with another. */
export function requestsTo(known: Known): Readonly<Record<string, fc.Arbitrary<Sent>>> {
  const all = Object.entries(forms(known)).map(([path, { type, body, query }]) => {
    const own = query ? ['POST', 'GET'] : ['POST'];
    const addresses = fc.oneof(
      { arbitrary: fc.constant(path), weight: 6 },
      { arbitrary: (query ?? fc.constant({})).map((all) => `${path}?${encoded(all)}`), weight: query ? 6 : 1 },
      fc.webQueryParameters().map((text) => `${path}?${text}`),
    );
    const request = fc.record({
      method: fc.oneof({ arbitrary: fc.constantFrom(...own), weight: 8 }, anyMethod),
      path: addresses,
      headers: headers(known, type),
      body,
    });
    return [path, request] as const;
  });
  return Object.fromEntries(all);
}

const anyMethod = fc.constantFrom('GET', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'PROPFIND');

/** Requests to any path, known ones and their neighbours. */
export function requestsAnywhere(known: Known): fc.Arbitrary<Sent> {
  const path = fc.stringMatching(/^\/[\x21-\x22\x24-\x7e]{0,80}$/);
  const beginnings = ['/docs/', '/oauth/', '/.well-known/', '/health/', '/install-', '/openapi'];
  const near = fc.tuple(fc.constantFrom(...beginnings), path).map((parts) => parts.join(''));
  return fc.record({
    method: fc.oneof(fc.constantFrom('GET', 'POST'), anyMethod),
    path: fc.oneof(path, near, fc.constant(`/${'a'.repeat(8000)}`)),
    headers: headers(known, 'application/json'),
    body: fc.constant(undefined),
  });
}

/** Requests to the simulated App Store Connect and device. `bearer` is good. */
export function requestsToSandbox(bearer: string, installUrl: string): fc.Arbitrary<Sent> {
  const attribute = member(fc.constantFrom('example.com', 'web', '', 'a'.repeat(300)));
  const resource = fc.record({
    data: member(
      fc.record(
        {
          type: member(fc.constantFrom('alternativeDistributionKeys', 'alternativeDistributionDomains')),
          attributes: member(
            fc.record({ publicKey: attribute, domain: attribute, referenceName: attribute }, { requiredKeys: [] }),
          ),
          relationships: fc.jsonValue(),
        },
        { requiredKeys: [] },
      ),
    ),
  });
  const seen = fc.oneof(
    fc.record({ installUrl: member(nearly(installUrl)), pageUrl: member(fc.webUrl()) }),
    fc.record({ token: member(nearly(installUrl)) }),
  );
  const v1 = ['apps', 'alternativeDistributionKeys', 'alternativeDistributionDomains', 'apps/6500000001/x', 'x'];
  const query = fc.constantFrom(
    '',
    '?limit=2',
    '?limit=x',
    '?cursor=x',
    '?filter[bundleId]=x',
    '?a=%zz',
    '?fields[apps]=',
  );
  const bodyOf = (body: fc.Arbitrary<unknown>) =>
    fc.oneof(
      anyBody,
      body.map((value) => JSON.stringify(value)),
    );
  const credential = fc.oneof(fc.constant(`Bearer ${bearer}`), nearlyHeader(`Bearer ${bearer}`), headerValue);
  return fc.oneof(
    fc.record({
      method: fc.oneof(fc.constantFrom('GET', 'POST', 'DELETE'), anyMethod),
      path: fc.tuple(fc.constantFrom(...v1), query).map(([name, query]) => `/v1/${name}${query}`),
      headers: fc.record({ authorization: credential, 'content-type': fc.constant('application/json') }),
      body: bodyOf(resource),
    }),
    fc.record({
      method: fc.constant('POST'),
      path: fc.constant('/_sandbox/device'),
      headers: fc.constant({}),
      body: bodyOf(seen),
    }),
  );
}

const CONTENT_TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json; charset=x',
  'application/x-www-form-urlencoded',
  'text/plain',
  'multipart/form-data; boundary=x',
  'application/vnd.api+json',
];

/** Bytes that HTTP allows in the value of a header. */
const headerValue = fc.stringMatching(/^[\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff]{0,60}[\x21-\x7e\x80-\xff])?$/);
const maybe = (value: fc.Arbitrary<string>) => fc.option(value, { nil: undefined, freq: 2 });

const headers = ({ apiKey, access_token, cookie }: Known, type: string) =>
  fc
    .record({
      'content-type': fc.oneof(
        { arbitrary: fc.constant(type), weight: 6 },
        maybe(fc.oneof(fc.constantFrom(...CONTENT_TYPES), headerValue)),
      ),
      authorization: maybe(
        fc.oneof(
          { arbitrary: fc.constant(`Bearer ${apiKey}`), weight: 4 },
          { arbitrary: fc.constant(`Bearer ${access_token}`), weight: 2 },
          nearlyHeader(`Bearer ${access_token}`),
          headerValue,
        ),
      ),
      cookie: maybe(fc.oneof(fc.constant(cookie), nearlyHeader(cookie), headerValue)),
      origin: maybe(fc.oneof(fc.constantFrom('https://example.com', 'null', 'https://evil.example'), headerValue)),
      'x-forwarded-for': maybe(fc.oneof(fc.ipV4(), fc.ipV6(), headerValue)),
      'x-country': maybe(fc.oneof(fc.constantFrom('IE', 'T1', 'XX'), headerValue)),
      'sec-fetch-site': maybe(fc.constantFrom('same-origin', 'same-site', 'cross-site', 'none')),
      'accept-encoding': maybe(headerValue),
      'if-none-match': maybe(headerValue),
      'access-control-request-method': maybe(fc.constantFrom('POST', 'GET', 'x')),
      traceparent: maybe(fc.oneof(fc.constant('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'), headerValue)),
      host: maybe(headerValue),
    })
    .map((all) => Object.fromEntries(Object.entries(all).filter((one): one is [string, string] => !!one[1])));

function nearlyHeader(good: string) {
  return fc
    .tuple(fc.nat(good.length), headerValue)
    .map(([at, piece]) => good.slice(0, at) + piece + good.slice(at + piece.length));
}
