/** Checks each claim of an install verification token against Apple's table (docs/apple-facts.md §1.3, §10). */

import { isAppleId } from '../../apple-id.ts';
import { claimLines, INSTALL_TOKEN_AUDIENCE } from '../claims.ts';
import { isCountryCode } from '../country-codes.ts';
import { isExpired, MAX_LIFETIME_SECONDS, secondsInFuture, wrongFormOf } from '../times.ts';
import { appOf, fail, type JsonObject, type Known, ok, quoted, type TokenCheck, warn } from './checks.ts';
import { formatSeconds } from './duration.ts';
import type { Jws } from './shape.ts';

/** Undefined if there is nothing to report. */
type ClaimCheck = (claims: JsonObject, known: Known, header: Jws['header']) => TokenCheck | undefined;

const checkAudience: ClaimCheck = ({ aud }) => {
  if (aud === INSTALL_TOKEN_AUDIENCE) return ok('aud', INSTALL_TOKEN_AUDIENCE);
  const cause =
    aud === 'appstoreconnect-v1'
      ? 'this is a bearer token for an Apple API, not an install verification token'
      : Array.isArray(aud)
        ? 'the JWT library writes an array; it must be the string alone'
        : undefined;
  return fail('aud', `${quoted(aud)}, expected "${INSTALL_TOKEN_AUDIENCE}"`, cause);
};

const checkApp: ClaimCheck = (claims, known) => {
  if (known.apps.length === 0) return undefined;
  const app = appOf(claims, known);
  return app
    ? ok('app', app.bundleId)
    : fail(
        'app',
        `no known app has the bundle id ${quoted(claims['bid'])} or the AppleItemID ${quoted(claims['iss'])}`,
        'the token is for an app of another account or in another configuration',
      );
};

const checkIssuer: ClaimCheck = (claims, known) => {
  const { iss } = claims;
  if (typeof iss === 'number') return fail('iss', `${iss} is a number, expected a string`, `write "${iss}"`);
  if (!isAppleId(iss)) {
    const isUuid = typeof iss === 'string' && /^[0-9a-f-]{36}$/i.test(iss);
    const cause = isUuid ? 'this is the issuer id of an API key; iss is the AppleItemID of the app' : undefined;
    return fail('iss', `${quoted(iss)}, expected the AppleItemID of the app as a decimal string`, cause);
  }
  const app = appOf(claims, known);
  if (!app) return ok('iss', `${iss}; not compared, because the app is not known`);
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
  if (typeof bid !== 'string' || bid === '') return fail('bid', `${quoted(bid)}, expected the bundle id of the app`);
  const app = appOf(claims, known);
  if (!app) return ok('bid', `${bid}; not compared, because the app is not known`);
  if (app.bundleId === bid) return ok('bid', bid);
  const isCase = app.bundleId.toLowerCase() === bid.toLowerCase();
  return fail(
    'bid',
    `${bid}, expected ${app.bundleId}`,
    isCase ? 'case matters' : 'it is the bundle id of another app',
  );
};

/** Returns undefined if the value is whole seconds since 1970. */
function checkSeconds(name: 'iat' | 'exp', value: unknown): TokenCheck | undefined {
  const wrong = wrongFormOf(value);
  if (wrong === 'not-seconds')
    return fail(
      name,
      `${quoted(value)}, expected whole seconds since 1970`,
      typeof value === 'string' ? 'it must be a number, not a string' : 'round it: Math.floor(Date.now() / 1000)',
      15,
    );
  return wrong && fail(name, `${value} is in milliseconds, expected seconds`, 'divide by 1000', 15);
}

const timeOf = (seconds: unknown) => new Date(Number(seconds) * 1000).toISOString();

const checkIssuedAt: ClaimCheck = ({ iat }, { nowSeconds }) => {
  const wrong = checkSeconds('iat', iat);
  if (wrong) return wrong;
  const ahead = secondsInFuture(Number(iat), nowSeconds);
  return ahead > 0
    ? fail(
        'iat',
        `${timeOf(iat)} is ${formatSeconds(ahead)} in the future`,
        "the issuing server's clock is ahead; run `webdist doctor` there",
        16,
      )
    : ok('iat', timeOf(iat));
};

const checkExpiry: ClaimCheck = ({ iat, exp }, { nowSeconds }) => {
  if (exp === undefined)
    return fail('exp', 'missing', "Apple's article requires it, although a WWDC code listing omits it", 17);
  const wrong = checkSeconds('exp', exp);
  if (wrong) return wrong;
  const left = Number(exp) - nowSeconds;
  if (isExpired(Number(exp), nowSeconds))
    return fail('exp', `expired ${formatSeconds(-left)} ago (${timeOf(exp)})`, 'get a new token for each install');
  if (wrongFormOf(iat) === undefined && Number(exp) <= Number(iat))
    return fail('exp', `${timeOf(exp)} is not after iat`);
  return ok('exp', `${timeOf(exp)}, in ${formatSeconds(left)}`);
};

const checkLifetime: ClaimCheck = ({ iat, exp }) =>
  typeof iat === 'number' && typeof exp === 'number' && !wrongFormOf(exp) && exp - iat > MAX_LIFETIME_SECONDS
    ? warn('lifetime', `${exp - iat} s, more than ${MAX_LIFETIME_SECONDS} s; Apple's example has 1200 s`)
    : undefined;

const checkDtype: ClaimCheck = ({ dtype }) =>
  dtype === 'download' || dtype === 'redownload'
    ? ok('dtype', `${dtype}: ${dtype === 'download' ? 'the first install' : 'a later install'} on this device`)
    : fail(
        'dtype',
        `${quoted(dtype)}, expected "download" or "redownload"`,
        typeof dtype === 'string' && /^(re)?download$/i.test(dtype) ? 'write it in lower case' : undefined,
      );

const checkNonce: ClaimCheck = ({ nonce }, { isUsed }, { kid }) => {
  if (typeof nonce !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(nonce))
    return fail('nonce', `${quoted(nonce)}, expected a random UUID, a new one for each token`);
  if (isUsed?.(kid, nonce)) return fail('nonce', `${nonce} was seen before: every install attempt needs its own token`);
  return ok(
    'nonce',
    isUsed ? `${nonce} was not seen before` : `${nonce}; only the device knows whether it was used before`,
  );
};

const checkItem: ClaimCheck = (claims, known) => {
  const { iid, iss } = claims;
  if (iid === undefined) return undefined;
  if (!isAppleId(iid))
    return fail('iid', `${quoted(iid)}, expected the AppleItemID as a decimal string`, numberCause(iid));
  // The check of `iss` reports problems of `iss` itself.
  const expected = appOf(claims, known)?.appleItemId ?? (isAppleId(iss) ? iss : iid);
  return iid === expected
    ? ok('iid', iid)
    : fail('iid', `${iid}, expected ${expected}`, 'for an app from a website, iid and iss are the same');
};

const checkVersion: ClaimCheck = (claims, known) => {
  const { vid } = claims;
  if (vid === undefined) return undefined;
  if (!isAppleId(vid))
    return fail('vid', `${quoted(vid)}, expected the AppleVersionID as a decimal string`, numberCause(vid));
  const versions = appOf(claims, known)?.appleVersionIds;
  if (!versions) return ok('vid', `${vid}; it must be the appleVersionId in the manifest of the linked package`);
  return versions.includes(vid)
    ? ok('vid', `${vid}, the version in the manifest`)
    : fail(
        'vid',
        `${vid}, expected ${versions.join(' or ') || 'none'} as in the manifest`,
        'the package has been replaced since, or it is the version of another app',
      );
};

const numberCause = (value: unknown) => (typeof value === 'number' ? `write "${value}"` : undefined);

const checkPair: ClaimCheck = ({ iid, vid }) =>
  (iid === undefined) === (vid === undefined)
    ? undefined
    : warn('iid and vid', 'only one of them is present; installs are faster only with both');

const checkCountry: ClaimCheck = ({ ccode }) => {
  if (ccode === undefined) return undefined;
  if (isCountryCode(ccode)) return ok('ccode', ccode);
  const isLowerCase = typeof ccode === 'string' && isCountryCode(ccode.toUpperCase());
  return warn(
    'ccode',
    `${quoted(ccode)}, expected an assigned country code in upper case (ISO 3166-1 alpha-2)`,
    isLowerCase ? 'write it in upper case' : undefined,
  );
};

const checkOthers: ClaimCheck = (claims) => {
  const others = Object.keys(claims).filter((name) => !Object.hasOwn(claimLines, name));
  return others.length === 0
    ? undefined
    : warn('other claims', `Apple documents no such claims: ${others.join(', ').slice(0, 200)}`, 'leave them out');
};

/** In the order of Apple's table. */
export const claimChecks: readonly ClaimCheck[] = [
  checkApp,
  checkIssuer,
  checkIssuedAt,
  checkExpiry,
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
