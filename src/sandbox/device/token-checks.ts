/**
 * The simulated device's checks of an install verification token (docs/apple-facts.md §1, §10 lines 7 to 26). Written from
 * those facts, independently of the code that issues tokens; only the limits of times are shared.
 */

import { createPublicKey, verify } from 'node:crypto';
import { isAppleId } from '../../apple-id.ts';
import { isExpired, MAX_LIFETIME_SECONDS, secondsInFuture, wrongFormOf } from '../../install-token/times.ts';
import { formatSeconds } from '../../install-token/verify/duration.ts';
import { type DeviceCheck, fail, type Outcome, pass, quoted, warn } from './check.ts';
import { isCountryCode } from './country-codes.ts';
import { type ExaminedToken, type Json, nonceRecord } from './token.ts';

/** Apple's claims; `ccode` is known only from a WWDC25 code listing. */
const knownClaims = ['iss', 'iat', 'exp', 'aud', 'bid', 'dtype', 'nonce', 'iid', 'vid', 'ccode'];

type ClaimCheck = (claims: Json, token: ExaminedToken) => Outcome | undefined;

/** A check of the payload, left out if there is none. */
const ofClaims = (check: ClaimCheck) => (token: ExaminedToken) => token.jws && check(token.jws.payload, token);

/** The checks of a token, in the order of the checklist. */
export const tokenChecks: readonly DeviceCheck<ExaminedToken>[] = [
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

function checkApp({ iss, bid }: Json, { app }: ExaminedToken) {
  return app
    ? pass(`the domain's account owns ${app.bundleId}`)
    : fail(`no app of this account has the AppleItemID ${quoted(iss)} or the bundle id ${quoted(bid)}`);
}

function checkHeader({ jws }: ExaminedToken) {
  if (!jws) return undefined;
  const { alg, typ, kid: _, ...others } = jws.header;
  if (alg !== 'ES256') return fail(`alg is ${quoted(alg)}, expected "ES256"`);
  if (typ !== 'JWT') return fail(`typ is ${quoted(typ)}, expected "JWT"`);
  const names = Object.keys(others);
  return names.length === 0
    ? pass('alg is ES256, typ is JWT; no other members than kid')
    : fail(`the header has ${quoted(names)} in addition to alg, kid and typ`);
}

function checkKid({ jws, key, app }: ExaminedToken) {
  if (!jws) return undefined;
  const { kid } = jws.header;
  if (!key)
    return fail(`kid is ${quoted(kid)}, which is not the id of a distribution key registered with App Store Connect`);
  if (key.appId !== null && app && key.appId !== app.id)
    return fail(`the key ${key.id} is registered for the app ${key.appId}, not for ${app.id}`);
  return pass(`the key ${key.id} is registered ${key.appId === null ? 'for all apps of the account' : 'for the app'}`);
}

function checkSignature({ jws, key }: ExaminedToken) {
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
    : fail('the signature does not verify with the registered public key: another private key, or a modified token');
}

const AUDIENCE = 'AppleDownloadVerification-v1';

function checkAudience({ aud }: Json) {
  return aud === AUDIENCE
    ? pass(`aud is ${AUDIENCE}`)
    : fail(`aud is ${quoted(aud)}, expected the string "${AUDIENCE}"`);
}

function checkIssuer({ iss }: Json, { app }: ExaminedToken) {
  if (!isAppleId(iss)) return fail(`iss is ${quoted(iss)}, expected the app's AppleItemID as a decimal string`);
  if (!app) return undefined;
  return iss === app.id
    ? pass(`iss is the app's AppleItemID ${iss}`)
    : fail(`iss is ${quoted(iss)}, expected "${app.id}"`);
}

function checkBundle({ bid }: Json, { app, linked }: ExaminedToken) {
  if (typeof bid !== 'string') return fail(`bid is ${quoted(bid)}, expected the app's bundle id as a string`);
  const expected = linked?.bundleId ?? app?.bundleId;
  if (!app || expected === undefined) return undefined;
  return bid === expected
    ? pass(`bid is ${bid}`)
    : fail(`bid is ${quoted(bid)}, expected "${expected}" as in the manifest`);
}

function checkTimes({ iat, exp }: Json) {
  for (const [name, value] of Object.entries({ iat, ...(exp !== undefined && { exp }) })) {
    const wrong = wrongFormOf(value);
    if (wrong === 'not-seconds') return fail(`${name} is ${quoted(value)}, expected whole seconds since 1970`);
    if (wrong) return fail(`${name} is in milliseconds, expected seconds since 1970`);
  }
  return pass('the times are whole seconds');
}

function checkExpiryPresent({ exp }: Json) {
  return exp === undefined ? fail('exp is missing') : pass('exp is present');
}

/** `iat` and `exp`, if both are usable. */
function timesOf(claims: Json): { iat: number; exp: number } | undefined {
  const { iat, exp } = claims;
  return checkTimes(claims).ok && typeof iat === 'number' && typeof exp === 'number' ? { iat, exp } : undefined;
}

function checkValidity(claims: Json, { nowSeconds }: ExaminedToken) {
  const times = timesOf(claims);
  if (!times) return undefined;
  const { iat, exp } = times;
  if (exp <= iat) return fail('exp is not after iat');
  const ahead = secondsInFuture(iat, nowSeconds);
  if (ahead > 0) return fail(`iat is ${formatSeconds(ahead)} in the future; check the clock of the server`);
  if (isExpired(exp, nowSeconds)) return fail(`the token expired ${formatSeconds(nowSeconds - exp)} ago`);
  return pass(`valid for another ${formatSeconds(exp - nowSeconds)}`);
}

function checkLifetime(claims: Json) {
  const times = timesOf(claims);
  if (!times || times.exp <= times.iat) return undefined;
  const seconds = times.exp - times.iat;
  return seconds > MAX_LIFETIME_SECONDS
    ? warn(`the lifetime is ${seconds} s, more than ${MAX_LIFETIME_SECONDS}; Apple's example is 1200`)
    : pass(`the lifetime is ${seconds} s`);
}

const isDtype = (value: unknown) => value === 'download' || value === 'redownload';

function checkDtype({ dtype }: Json) {
  return isDtype(dtype)
    ? pass(`dtype is ${dtype}`)
    : fail(`dtype is ${quoted(dtype)}, expected "download" or "redownload" in lower case`);
}

function checkHistory({ dtype }: Json, { app, isFromLink, state }: ExaminedToken) {
  if (!app || !isDtype(dtype)) return undefined;
  const install = state.device.installs.find(({ appId }) => appId === app.id);
  if (install && !isFromLink && install.dtypeOfRestore === dtype)
    return pass(`the restore that follows the link has the same dtype, ${dtype}`);
  const expected = install ? 'redownload' : 'download';
  return dtype === expected
    ? pass(`this device ${install ? 'had' : 'never had'} the app`)
    : warn(`dtype is ${dtype}, but this device ${install ? 'had' : 'never had'} the app: expected ${expected}`);
}

function checkNonce({ nonce }: Json, token: ExaminedToken) {
  const record = nonceRecord(token);
  if (!record) return fail(`nonce is ${quoted(nonce)}, expected a UUID as a string`);
  return token.state.device.nonces.includes(record)
    ? fail('this nonce was seen before: every install attempt needs its own token')
    : pass('the nonce is a UUID that was not seen before');
}

function checkItem({ iid }: Json, { app }: ExaminedToken) {
  if (iid === undefined) return undefined;
  if (!isAppleId(iid)) return fail(`iid is ${quoted(iid)}, expected the AppleItemID as a decimal string`);
  if (!app) return undefined;
  return iid === app.id
    ? pass(`iid is ${iid}`)
    : fail(`iid is ${quoted(iid)}, expected "${app.id}" as in the manifest`);
}

function checkVersion({ vid }: Json, { app, linked, state }: ExaminedToken) {
  if (vid === undefined) return undefined;
  if (!isAppleId(vid)) return fail(`vid is ${quoted(vid)}, expected the AppleVersionID as a decimal string`);
  if (!app) return undefined;
  const packages = linked ? [linked] : state.packages.filter(({ appleItemId }) => appleItemId === app.id);
  const versions = packages.map(({ appleVersionId }) => appleVersionId);
  return versions.includes(vid)
    ? pass(`vid is the version of the package, ${vid}`)
    : fail(`vid is ${quoted(vid)}, expected ${quoted(versions.join(', '))} as in the manifest`);
}

function checkPair({ iid, vid }: Json) {
  if (iid === undefined && vid === undefined) return pass('neither iid nor vid: correct, but the install is slower');
  return iid === undefined || vid === undefined
    ? warn(
        `${iid === undefined ? 'vid without iid' : 'iid without vid'} does not make the install faster; send both or neither`,
      )
    : pass('iid and vid are both present');
}

function checkCountry({ ccode }: Json) {
  if (ccode === undefined) return undefined;
  return isCountryCode(ccode)
    ? pass(`ccode is ${ccode}`)
    : warn(`ccode is ${quoted(ccode)}, expected an ISO 3166-1 alpha-2 code in upper case`);
}

function checkExtraClaims(claims: Json) {
  const extra = Object.keys(claims).filter((name) => !knownClaims.includes(name));
  return extra.length === 0
    ? pass('only claims that Apple documents')
    : warn(`claims that Apple does not document: ${quoted(extra)}`);
}
