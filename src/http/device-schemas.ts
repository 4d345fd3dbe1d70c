/** Declares what devices send and get: restores, updates, their configuration, and OAuth (docs/apple-facts.md §3). */

import { z } from 'zod';
import { APPLE_ID } from '../apple-id.ts';

/** More apps of one developer than any device has. */
const MAX_APPS = 200;

/** A decimal string. A JSON number is accepted if it is exact. */
const appleId = z.union([z.string().regex(APPLE_ID), z.int().positive().transform(String)]);

/** One app in a request. */
export const appAndVersion = z.object({ appleItemId: appleId, appleVersionId: appleId });

/** Returns the ids of an app in a request, unchecked. Apple's pages spell them in two ways (docs/apple-facts.md §11 row 15). */
export function idsIn(entry: unknown): Readonly<Record<keyof z.input<typeof appAndVersion>, unknown>> {
  const app = (typeof entry === 'object' && entry !== null ? entry : {}) as Readonly<Record<string, unknown>>;
  return {
    appleItemId: app['appleItemId'] ?? app['appleItemID'],
    appleVersionId: app['appleVersionId'] ?? app['appleVersionID'],
  };
}

/** Unknown members are ignored, because Apple may add some. Each app is checked separately. */
export const deviceBody = z.object({
  apps: z.array(z.unknown()).max(MAX_APPS, `may hold at most ${MAX_APPS} apps`),
  platform: z.string().max(64).optional(),
  osVersion: z.string().regex(/^\d/, 'must be a version such as 18.5').max(64).optional(),
});

/** The type of that body. */
export type DeviceBody = z.output<typeof deviceBody>;

/** The description of an app in the OpenAPI document. */
export const describedDeviceBody = deviceBody.extend({
  apps: z
    .array(z.union([appAndVersion, z.unknown().describe('Anything else is reported in `failures`')]))
    .max(MAX_APPS),
});

const entry = {
  appleItemId: z.string(),
  appleVersionId: z.string(),
  alternativeDistributionPackage: z.string().describe('The URL of the package'),
  installVerificationToken: z.string(),
  appShareURL: z.string().optional(),
};
const failure = z
  .object({
    appleItemId: z.string(),
    appleVersionId: z.string(),
    failure: z.object({ code: z.literal(404), description: z.string() }),
  })
  .meta({ id: 'Failure', description: 'An app that cannot be served' });
const failures = z.array(failure).optional();

/** The response to a restore request. */
export const restoreAnswer = z
  .object({ restores: z.array(z.object(entry).meta({ id: 'Restore' })), failures })
  .describe('The apps that the device gets back');

const update = z
  .object({ ...entry, bundleVersion: z.string().optional(), shortVersionString: z.string().optional() })
  .meta({ id: 'Update' });

/** The response to an update request. */
export const updatesAnswer = z
  .object({ updates: z.array(update), failures })
  .describe('The apps for which there is a newer version');

const configuration = z.object({
  license: z.record(z.string(), z.string()).describe('URLs, by the names on Apple’s page'),
  restore: z.string(),
  updates: z.object({ url: z.string(), pollingInterval: z.number().describe('Hours') }),
});

/** The document at `.well-known/marketplace-kit`. */
export const configurationAnswer = configuration
  .extend({ overridesByAppleItemID: z.record(z.string(), configuration).optional() })
  .describe('Where devices request licences, restores and updates');

/** The document at `.well-known/oauth-authorization-server` (RFC 8414 §2). */
export const oauthMetadataAnswer = z
  .object({
    issuer: z.string(),
    authorization_endpoint: z.string(),
    token_endpoint: z.string(),
    response_types_supported: z.array(z.string()),
    grant_types_supported: z.array(z.string()),
    token_endpoint_auth_methods_supported: z.array(z.string()),
    code_challenge_methods_supported: z.array(z.string()),
  })
  .describe('The metadata of the authorization server');

/** The response to a granted token request (RFC 6749 §5.1, RFC 8693 §2.2.1). */
export const oauthTokenAnswer = z
  .object({
    access_token: z.string(),
    issued_token_type: z.literal('urn:ietf:params:oauth:token-type:access_token'),
    token_type: z.literal('bearer'),
    expires_in: z.int().describe('Seconds'),
    refresh_token: z.string().describe('Valid once'),
  })
  .describe('An access token');

/** The refusal of a token request (RFC 6749 §5.2). */
export const oauthErrorAnswer = z
  .object({ error: z.string(), error_description: z.string() })
  .meta({ id: 'OAuthError', description: 'A refusal (RFC 6749 §5.2)' });
