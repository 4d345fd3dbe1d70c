/** Each claim of an install verification token against Apple's table (docs/apple-facts.md §1.3, §10). */

import { INSTALL_TOKEN_AUDIENCE } from '../claims.ts';
import type { Known, TokenCheck } from './verify.ts';

type Claims = Readonly<Record<string, unknown>>;

/** One look at the claims; undefined when there is nothing to say. */
export type ClaimCheck = (claims: Claims, known: Known) => TokenCheck | undefined;

/** How far `iat` may lie ahead: Apple states nothing, so nearly nothing. */
const FUTURE_TOLERANCE_SECONDS = 5;
const LONG_LIFETIME_SECONDS = 3600;
/** Seconds reach twelve digits in the year 5138, milliseconds have had them since 1973. */
const MILLISECONDS_FROM = 1e11;

const ok = (name: string, detail: string): TokenCheck => ({ name, result: 'ok', detail });
const warn = (name: string, detail: string, cause?: string): TokenCheck => ({ name, result: 'warn', detail, cause });
const fail = (name: string, detail: string, cause?: string): TokenCheck => ({ name, result: 'fail', detail, cause });
const shown = (value: unknown) => (value === undefined ? 'missing' : JSON.stringify(value).slice(0, 200));

const isAppleId = (value: unknown): value is string =>
  typeof value === 'string' && /^[1-9]\d{0,19}$/.test(value) && BigInt(value) < 2n ** 64n;

const checkAudience: ClaimCheck = ({ aud }) => {
  if (aud === INSTALL_TOKEN_AUDIENCE) return ok('aud', INSTALL_TOKEN_AUDIENCE);
  const cause =
    aud === 'appstoreconnect-v1'
      ? 'this is a bearer token for an Apple API, not an install verification token'
      : Array.isArray(aud)
        ? 'the JWT library writes an array; it has to be the string alone'
        : undefined;
  return fail('aud', `${shown(aud)}, expected "${INSTALL_TOKEN_AUDIENCE}"`, cause);
};

/** The app the token is about: by `bid`, else by `iss`; with one app known, that one. */
const appOf = ({ iss, bid }: Claims, { apps }: Known) =>
  apps.find(({ bundleId }) => bundleId === bid) ??
  apps.find(({ appleItemId }) => appleItemId === iss) ??
  (apps.length === 1 ? apps[0] : undefined);

const checkIssuer: ClaimCheck = (claims, known) => {
  const { iss } = claims;
  if (typeof iss === 'number') return fail('iss', `${iss} is a number, expected a string`, `write "${iss}"`);
  if (!isAppleId(iss)) {
    const isUuid = typeof iss === 'string' && /^[0-9a-f-]{36}$/i.test(iss);
    const cause = isUuid ? 'this is the issuer id of an API key; iss is the AppleItemID of the app' : undefined;
    return fail('iss', `${shown(iss)}, expected the AppleItemID of the app as a decimal string`, cause);
  }
  const app = appOf(claims, known);
  if (!app) return ok('iss', `${iss}; not compared, because no app is configured`);
  if (app.appleItemId === iss) return ok('iss', `${iss}, the AppleItemID of ${app.bundleId}`);
  const other = known.apps.find(({ appleItemId }) => appleItemId === iss);
  return fail(
    'iss',
    `${iss}, expected ${app.appleItemId}, the AppleItemID of ${app.bundleId}`,
    other ? `it is the AppleItemID of another app, ${other.bundleId}` : 'the ids of two apps or versions were mixed up',
  );
};

const checkBundle: ClaimCheck = (claims, known) => {
  const { bid } = claims;
  if (typeof bid !== 'string' || bid === '') return fail('bid', `${shown(bid)}, expected the bundle id of the app`);
  const app = appOf(claims, known);
  if (!app) return ok('bid', `${bid}; not compared, because no app is configured`);
  if (app.bundleId === bid) return ok('bid', bid);
  const isCase = app.bundleId.toLowerCase() === bid.toLowerCase();
  return fail(
    'bid',
    `${bid}, expected ${app.bundleId}`,
    isCase ? 'capitals count' : 'it is the bundle id of another app',
  );
};

const checkTime =
  (name: 'iat' | 'exp'): ClaimCheck =>
  (claims, { nowSeconds }) => {
    const value = claims[name];
    if (value === undefined && name === 'exp')
      return fail('exp', 'missing', "Apple's article requires it, though a WWDC listing leaves it out");
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      return fail(
        name,
        `${shown(value)}, expected whole seconds since 1970`,
        typeof value === 'string' ? 'it has to be a number, not a string' : 'round it: Math.floor(Date.now() / 1000)',
      );
    if (value >= MILLISECONDS_FROM)
      return fail(name, `${value} is in milliseconds, expected seconds`, 'divide by 1000');
    const when = new Date(value * 1000).toISOString();
    if (name === 'iat') {
      const ahead = value - Math.floor(nowSeconds);
      return ahead > FUTURE_TOLERANCE_SECONDS
        ? fail(
            'iat',
            `${when} is ${ahead} s in the future`,
            "the issuing server's clock is ahead; see `webdist doctor`",
          )
        : ok('iat', when);
    }
    if (value <= nowSeconds)
      return fail('exp', `${when} is over for ${Math.floor(nowSeconds - value)} s`, 'get a new token for each install');
    const { iat } = claims;
    if (typeof iat === 'number' && iat < MILLISECONDS_FROM && value <= iat)
      return fail('exp', `${when} is not after iat`);
    return ok('exp', `${when}, in ${Math.floor(value - nowSeconds)} s`);
  };

const checkLifetime: ClaimCheck = ({ iat, exp }) =>
  typeof iat === 'number' && typeof exp === 'number' && exp < MILLISECONDS_FROM && exp - iat > LONG_LIFETIME_SECONDS
    ? warn('lifetime', `${exp - iat} s, more than an hour; Apple's example has 1200 s`)
    : undefined;

const checkDtype: ClaimCheck = ({ dtype }) =>
  dtype === 'download' || dtype === 'redownload'
    ? ok('dtype', `${dtype}: ${dtype === 'download' ? 'the first install' : 'a later install'} on this device`)
    : fail(
        'dtype',
        `${shown(dtype)}, expected "download" or "redownload"`,
        typeof dtype === 'string' && /^(re)?download$/i.test(dtype) ? 'write it in lower case' : undefined,
      );

const checkNonce: ClaimCheck = ({ nonce }) =>
  typeof nonce === 'string' && /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(nonce)
    ? ok('nonce', `${nonce}; whether it was used before only the device knows`)
    : fail('nonce', `${shown(nonce)}, expected a random UUID, a new one for each token`);

const checkItem: ClaimCheck = ({ iid, iss }) => {
  if (iid === undefined) return undefined;
  if (!isAppleId(iid))
    return fail('iid', `${shown(iid)}, expected the AppleItemID as a decimal string`, numberCause(iid));
  // What is wrong with iss itself is said there.
  return iid === iss || !isAppleId(iss)
    ? ok('iid', iid)
    : fail('iid', `${iid} is not iss (${shown(iss)})`, 'for an app from a website they are the same');
};

const checkVersion: ClaimCheck = ({ vid }) => {
  if (vid === undefined) return undefined;
  return isAppleId(vid)
    ? ok('vid', `${vid}; it has to be the appleVersionId of the package that is linked`)
    : fail('vid', `${shown(vid)}, expected the AppleVersionID as a decimal string`, numberCause(vid));
};

const numberCause = (value: unknown) => (typeof value === 'number' ? `write "${value}"` : undefined);

const checkPair: ClaimCheck = ({ iid, vid }) =>
  (iid === undefined) === (vid === undefined)
    ? undefined
    : warn('iid and vid', 'only one of them is there; the install gets faster only with both');

const checkCountry: ClaimCheck = ({ ccode }) => {
  if (ccode === undefined) return undefined;
  return typeof ccode === 'string' && /^[A-Z]{2}$/.test(ccode)
    ? ok('ccode', ccode)
    : warn('ccode', `${shown(ccode)}, expected two capital letters (ISO 3166-1 alpha-2)`);
};

const appleClaims = ['iss', 'iat', 'exp', 'aud', 'bid', 'dtype', 'nonce', 'iid', 'vid', 'ccode'];

const checkOthers: ClaimCheck = (claims) => {
  const others = Object.keys(claims).filter((name) => !appleClaims.includes(name));
  return others.length === 0
    ? undefined
    : warn('other claims', `${others.join(', ').slice(0, 200)}: Apple names no such claim`, 'leave them out');
};

/** In the order of Apple's table. */
export const claimChecks: readonly ClaimCheck[] = [
  checkIssuer,
  checkTime('iat'),
  checkTime('exp'),
  checkLifetime,
  checkAudience,
  checkBundle,
  checkDtype,
  checkNonce,
  checkItem,
  checkVersion,
  checkPair,
  checkCountry,
  checkOthers,
];
