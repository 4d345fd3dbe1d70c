/**
 * What the simulated device checks of an install verification token (docs/apple-facts.md §1, §10 lines 7 to 26).
 * Written from those facts alone, apart from the code that issues tokens.
 */

import { createPublicKey, verify } from 'node:crypto';
import { type Check, fail, type Outcome, pass, shown, warn } from './check.ts';
import { isCountryCode } from './country-codes.ts';
import { type Json, nonceRecord, type SeenToken } from './token.ts';

/** How far the device lets `iat` lie in the future; Apple states nothing (docs/apple-facts.md §1.5). */
const FUTURE_TOLERANCE_SECONDS = 30;

/** A longer life than this is odd, though Apple states no limit. */
const LONG_LIFETIME_SECONDS = 3600;

/** Apple's claims; `ccode` is known from a WWDC25 listing only. */
const knownClaims = ['iss', 'iat', 'exp', 'aud', 'bid', 'dtype', 'nonce', 'iid', 'vid', 'ccode'];

type ClaimCheck = (claims: Json, seen: SeenToken) => Outcome | undefined;

/** A check that looks at the payload, and is left out when there is none. */
const ofClaims = (check: ClaimCheck) => (seen: SeenToken) => seen.jws && check(seen.jws.payload, seen);

/** The checks of a token, in the order of the checklist. */
export const tokenChecks: readonly Check<SeenToken>[] = [
  [
    'jws-shape',
    8,
    ({ jws, problem }) =>
      jws ? pass('three parts of base64url, JSON objects') : fail(`not a compact JWS: ${problem}`),
  ],
  ['app-owned', 7, ofClaims(checkApp)],
  ['header', 9, checkHeader],
  ['kid-registered', 10, checkKid],
  ['signature', 11, checkSignature],
  ['aud', 12, ofClaims(checkAudience)],
  ['iss', 13, ofClaims(checkIssuer)],
  ['bid', 14, ofClaims(checkBundle)],
  ['times', 15, ofClaims(checkTimes)],
  ['exp-present', 17, ofClaims(checkExpiryPresent)],
  ['validity', 16, ofClaims(checkValidity)],
  ['lifetime', 18, ofClaims(checkLifetime)],
  ['dtype', 19, ofClaims(checkDtype)],
  ['dtype-history', 20, ofClaims(checkHistory)],
  ['nonce', 21, ofClaims(checkNonce)],
  ['iid', 22, ofClaims(checkItem)],
  ['vid', 23, ofClaims(checkVersion)],
  ['iid-vid-pair', 24, ofClaims(checkPair)],
  ['ccode', 25, ofClaims(checkCountry)],
  ['extra-claims', 26, ofClaims(checkExtraClaims)],
];

function checkApp({ iss, bid }: Json, { app }: SeenToken) {
  return app
    ? pass(`the domain's account owns ${app.bundleId}`)
    : fail(`no app of this account has the AppleItemID ${shown(iss)} or the bundle id ${shown(bid)}`);
}

function checkHeader({ jws }: SeenToken) {
  if (!jws) return undefined;
  const { alg, typ, kid: _, ...others } = jws.header;
  if (alg !== 'ES256') return fail(`alg is ${shown(alg)}, expected "ES256"`);
  if (typ !== 'JWT') return fail(`typ is ${shown(typ)}, expected "JWT"`);
  const names = Object.keys(others);
  return names.length === 0
    ? pass('alg is ES256, typ is JWT, nothing but kid beside them')
    : fail(`the header has ${shown(names)} beside alg, kid and typ`);
}

function checkKid({ jws, key, app }: SeenToken) {
  if (!jws) return undefined;
  const { kid } = jws.header;
  if (!key)
    return fail(`kid is ${shown(kid)}, which is not the id of a distribution key registered with App Store Connect`);
  if (key.appId !== null && app && key.appId !== app.id)
    return fail(`the key ${key.id} is registered for the app ${key.appId}, not for ${app.id}`);
  return pass(`the key ${key.id} is registered ${key.appId === null ? 'for all apps of the account' : 'for the app'}`);
}

function checkSignature({ jws, key }: SeenToken) {
  if (!jws || !key) return undefined;
  const { signature, signingInput } = jws;
  if (signature.length !== 64) {
    const isDer = signature[0] === 0x30 && signature[1] === signature.length - 2;
    return fail(
      `the signature has ${signature.length} bytes${isDer ? ' and is DER-encoded' : ''}, expected 64 bytes r‖s (RFC 7518 §3.4)`,
    );
  }
  const publicKey = createPublicKey({ key: Buffer.from(key.spki, 'base64'), format: 'der', type: 'spki' });
  return verify('sha256', Buffer.from(signingInput), { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
    ? pass('the signature verifies with the registered public key')
    : fail('the signature does not verify with the registered public key: another private key, or a changed token');
}

const AUDIENCE = 'AppleDownloadVerification-v1';

function checkAudience({ aud }: Json) {
  return aud === AUDIENCE
    ? pass(`aud is ${AUDIENCE}`)
    : fail(`aud is ${shown(aud)}, expected the string "${AUDIENCE}"`);
}

/** A decimal string that fits 64 bits, as Apple's item and version ids. */
const isAppleId = (value: unknown): value is string =>
  typeof value === 'string' && /^[1-9][0-9]{0,19}$/.test(value) && BigInt(value) < 2n ** 64n;

function checkIssuer({ iss }: Json, { app }: SeenToken) {
  if (!isAppleId(iss)) return fail(`iss is ${shown(iss)}, expected the app's AppleItemID as a decimal string`);
  if (!app) return undefined;
  return iss === app.id
    ? pass(`iss is the app's AppleItemID ${iss}`)
    : fail(`iss is ${shown(iss)}, expected "${app.id}"`);
}

function checkBundle({ bid }: Json, { app, linked }: SeenToken) {
  if (typeof bid !== 'string') return fail(`bid is ${shown(bid)}, expected the app's bundle id as a string`);
  const expected = linked?.bundleId ?? app?.bundleId;
  if (!app || expected === undefined) return undefined;
  return bid === expected
    ? pass(`bid is ${bid}`)
    : fail(`bid is ${shown(bid)}, expected "${expected}" as in the manifest`);
}

/** Milliseconds since 1970 have had 13 digits since 2001. */
const MILLISECONDS_FROM = 1e12;

function checkTimes({ iat, exp }: Json) {
  for (const [name, value] of Object.entries({ iat, ...(exp !== undefined && { exp }) })) {
    if (!Number.isSafeInteger(value)) return fail(`${name} is ${shown(value)}, expected whole seconds since 1970`);
    if (Number(value) >= MILLISECONDS_FROM) return fail(`${name} is in milliseconds, expected seconds since 1970`);
  }
  return pass('the times are whole seconds');
}

function checkExpiryPresent({ exp }: Json) {
  return exp === undefined ? fail('exp is missing') : pass('exp is there');
}

/** `iat` and `exp`, if both are usable. */
function timesOf(claims: Json): { iat: number; exp: number } | undefined {
  const { iat, exp } = claims;
  return checkTimes(claims).ok && typeof iat === 'number' && typeof exp === 'number' ? { iat, exp } : undefined;
}

function checkValidity(claims: Json, { nowSeconds }: SeenToken) {
  const times = timesOf(claims);
  if (!times) return undefined;
  const { iat, exp } = times;
  if (exp <= iat) return fail('exp is not after iat');
  if (iat > nowSeconds + FUTURE_TOLERANCE_SECONDS)
    return fail(`iat is ${Math.ceil(iat - nowSeconds)} s in the future; check the clock of the server`);
  if (exp <= nowSeconds) return fail(`the token has been over for ${Math.floor(nowSeconds - exp)} s`);
  return pass(`valid for another ${Math.floor(exp - nowSeconds)} s`);
}

function checkLifetime(claims: Json) {
  const times = timesOf(claims);
  if (!times || times.exp <= times.iat) return undefined;
  const seconds = times.exp - times.iat;
  return seconds > LONG_LIFETIME_SECONDS
    ? warn(`the token lives ${seconds} s, more than ${LONG_LIFETIME_SECONDS}; Apple's example is 1200`)
    : pass(`the token lives ${seconds} s`);
}

const isDtype = (value: unknown) => value === 'download' || value === 'redownload';

function checkDtype({ dtype }: Json) {
  return isDtype(dtype)
    ? pass(`dtype is ${dtype}`)
    : fail(`dtype is ${shown(dtype)}, expected "download" or "redownload" in lower case`);
}

function checkHistory({ dtype }: Json, { app, isFromLink, state }: SeenToken) {
  if (!app || !isDtype(dtype)) return undefined;
  const install = state.device.installs.find(({ appId }) => appId === app.id);
  if (install && !isFromLink && install.dtypeOfRestore === dtype)
    return pass(`the restore that follows the link, with the same dtype ${dtype}`);
  const expected = install ? 'redownload' : 'download';
  return dtype === expected
    ? pass(`this device ${install ? 'had' : 'never had'} the app before`)
    : warn(`dtype is ${dtype}, but this device ${install ? 'had' : 'never had'} the app before: expected ${expected}`);
}

function checkNonce({ nonce }: Json, seen: SeenToken) {
  const record = nonceRecord(seen);
  if (!record) return fail(`nonce is ${shown(nonce)}, expected a UUID as a string`);
  return seen.state.device.nonces.includes(record)
    ? fail('this nonce was seen before: every install attempt needs a token of its own')
    : pass('the nonce is a UUID not seen before');
}

function checkItem({ iid }: Json, { app }: SeenToken) {
  if (iid === undefined) return undefined;
  if (!isAppleId(iid)) return fail(`iid is ${shown(iid)}, expected the AppleItemID as a decimal string`);
  if (!app) return undefined;
  return iid === app.id ? pass(`iid is ${iid}`) : fail(`iid is ${shown(iid)}, expected "${app.id}" as in the manifest`);
}

function checkVersion({ vid }: Json, { app, linked, state }: SeenToken) {
  if (vid === undefined) return undefined;
  if (!isAppleId(vid)) return fail(`vid is ${shown(vid)}, expected the AppleVersionID as a decimal string`);
  if (!app) return undefined;
  const packages = linked ? [linked] : state.packages.filter(({ appleItemId }) => appleItemId === app.id);
  const versions = packages.map(({ appleVersionId }) => appleVersionId);
  return versions.includes(vid)
    ? pass(`vid is the version of the package, ${vid}`)
    : fail(`vid is ${shown(vid)}, expected ${shown(versions.join(', '))} as in the manifest`);
}

function checkPair({ iid, vid }: Json) {
  if (iid === undefined && vid === undefined) return pass('neither iid nor vid: correct, but the install is slower');
  return iid === undefined || vid === undefined
    ? warn(
        `${iid === undefined ? 'vid without iid' : 'iid without vid'}: the install gets no faster; send both or neither`,
      )
    : pass('iid and vid come together');
}

function checkCountry({ ccode }: Json) {
  if (ccode === undefined) return undefined;
  return isCountryCode(ccode)
    ? pass(`ccode is ${ccode}`)
    : warn(`ccode is ${shown(ccode)}, expected an ISO 3166-1 alpha-2 code in upper case`);
}

function checkExtraClaims(claims: Json) {
  const extra = Object.keys(claims).filter((name) => !knownClaims.includes(name));
  return extra.length === 0 ? pass('no claims but Apple’s') : warn(`claims that Apple does not name: ${shown(extra)}`);
}
