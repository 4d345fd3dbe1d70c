/** Declares the requests and responses of the API once, for validation, types and the OpenAPI document. */

import { z } from 'zod';
import { APPLE_ID } from '../apple-id.ts';
import { assignedCountryCodes, isCountryCode } from '../install-token/country-codes.ts';
import { problemSchema } from './problems.ts';

const printable = (max: number) =>
  z
    .string()
    .regex(/^[\x20-\x7e]*$/, 'may only hold printable ASCII characters')
    .min(1, 'may not be empty')
    .max(max, `may have at most ${max} characters`);

const name = printable(155);
const dtype = z.enum(['download', 'redownload']);
const VERSION_ID = 'must be an AppleVersionID: a decimal number as a string';
const versionId = z.string().regex(APPLE_ID, VERSION_ID);
const COUNTRY = 'must be an assigned country code in upper case (ISO 3166-1 alpha-2)';
const country = z
  .string()
  .regex(/^[A-Z]{2}$/, { error: COUNTRY, abort: true })
  .refine(isCountryCode, COUNTRY)
  .meta({ enum: assignedCountryCodes });

/** What only a server may send: the subject, and claims. */
const serverMembers = {
  subject: printable(256).describe('Identifies the device; authenticated callers only').optional(),
  dtype: dtype.describe('Overrides what the ledger decides; authenticated callers only').optional(),
  country: country.describe('Country of the install; authenticated callers only').optional(),
  version: versionId.describe('AppleVersionID; authenticated callers only').optional(),
};

/** The names of these fields. */
export const serverFields = Object.keys(serverMembers) as (keyof typeof serverMembers)[];

const installMembers = {
  app: name.describe('Bundle id or AppleItemID; optional when there is one app').optional(),
  bundleID: name.describe('The same as `app`').optional(),
  bundleId: name.describe('The same as `app`').optional(),
  appleItemId: name.describe('The same as `app`').optional(),
  account: printable(256).describe('Opaque user id, added to the install URL').optional(),
  token: printable(4096).describe("The page's own OAuth subject token, added to the install URL").optional(),
  challenge: printable(4096).describe('The response to the challenge of the page, when one is configured').optional(),
  ...serverMembers,
};

/** The body of `POST /install-token`. */
export const installBody = z.strictObject({
  ...installMembers,
  redownload: z
    .boolean()
    .describe('`true` is `dtype` redownload; ignored unless the caller is authenticated')
    .optional(),
});

/** The query of `GET /install-token`. */
export const installQuery = z.strictObject({
  ...installMembers,
  redownload: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional(),
});

/** The properties of a server that determine which requests it accepts. */
type Facts = {
  /** False with webdist's own OAuth, which cannot exchange the `token` of a page. */
  readonly exchangesToken: boolean;
  readonly hasSeveralApps: boolean;
};

/**
 * The schema of either request in the description. The route itself checks the rest, because it refuses it with more
 * exact messages.
 */
export function describedInstall(schema: z.ZodObject, { exchangesToken, hasSeveralApps }: Facts): z.ZodObject {
  const accepted = exchangesToken ? schema : schema.omit({ token: true });
  return hasSeveralApps ? accepted.required({ app: true }) : accepted;
}

/** The fields of one request for a token, from the body or the query. */
export type InstallFields = z.output<typeof installBody>;

/** The claims that a server sends besides `dtype`, by the names that `issue` uses. */
export const claimsIn = ({ country, version }: InstallFields) => ({ country, appleVersionId: version });

/** The response with one token. */
const installTokenAnswer = z
  .object({
    token: z.string().describe('The install verification token (JWS compact serialization)'),
    expiresAt: z.iso.datetime(),
    dtype,
    keyId: z.string(),
    nonce: z.string(),
    installUrl: z.string().describe('`marketplace-kit://install?…`; absent when the app has no package').optional(),
  })
  .meta({ id: 'InstallToken' });

/** The description of that response. */
export const installTokenAnswers = {
  200: { description: 'A token, and its install URL', content: { 'application/json': { schema: installTokenAnswer } } },
};

/** The type of that response. */
export type InstallTokenAnswer = z.output<typeof installTokenAnswer>;

const MAX_AT_ONCE = 100;

/** The body of `POST /install-tokens`. Each entry is checked separately, so that a bad one does not affect the others. */
export const installsBody = z.strictObject({
  requests: z
    .array(z.unknown())
    .min(1, 'must hold at least one request')
    .max(MAX_AT_ONCE, `may hold at most ${MAX_AT_ONCE} requests`),
});

/** The response of `POST /install-tokens`: a token or a problem for each entry, in the order of the request. */
export const installsAnswer = z
  .object({ results: z.array(z.union([installTokenAnswer, problemSchema])) })
  .describe('A token or a problem for each entry, in the order of the request');

/**
 * The schema of an entry in the description. Entries of another form are accepted, and each is answered with a problem.
 */
export const describedInstalls = z.strictObject({
  requests: z
    .array(z.union([installBody, z.unknown().describe('Anything else is answered with a problem')]))
    .min(1)
    .max(MAX_AT_ONCE),
});

/** The response without a body: the evidence may or may not have changed anything. */
export const accepted = z.undefined().describe('Accepted');

const nonce = z
  .string()
  .regex(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/i, 'must be the nonce of a token')
  .transform((text) => text.toUpperCase());

/**
 * The body of `POST /installs`. It names the token by its nonce, or (authenticated callers only) by app and subject,
 * by app and device, or by all three.
 */
export const evidenceBody = z
  .strictObject({
    nonce: nonce.optional(),
    app: name.optional(),
    subject: printable(256).optional(),
    device: printable(256)
      .describe("A stable id of the device, such as Apple's `requestDeviceID`; authenticated callers only")
      .optional(),
  })
  .refine(
    ({ nonce, subject, device }) =>
      nonce === undefined ? subject !== undefined || device !== undefined : subject === undefined,
    'give either the nonce, or app and subject (or device)',
  )
  .meta({
    anyOf: [
      { required: ['nonce'], not: { required: ['subject'] } },
      ...['subject', 'device'].map((name) => ({ required: [name], not: { required: ['nonce'] } })),
    ],
  });

/** The body of `POST /button-errors`. It is limited in size, and has only fixed words besides the app's name. */
export const buttonReportBody = z.strictObject({
  app: name.optional(),
  steps: z.array(z.enum(['shown', 'ready', 'tapped'])).max(3),
  codes: z.array(z.string().regex(/^[a-z_-]{1,32}$/)).max(16),
});
