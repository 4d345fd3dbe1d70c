/** The file of `WEBDIST_CONFIG`: YAML or JSON with the domain and the apps. A problem names the place in the file. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { z } from 'zod';
import { APPLE_ID } from '../apple-id.ts';
import { marketplaceKitOverride, versionRules, wholeNumber } from './device-side.ts';
import { appleId, bundleId, domainName, isDate, linkedUrl, readableUrl } from './forms.ts';
import { locators } from './key-forms.ts';
import type { Problem } from './problems.ts';

/** YAML reads an unquoted id as a number. As a bigint, it keeps every digit. */
const idAsWritten = z
  .union([z.string(), z.bigint()], 'expected a decimal number, such as "6473805491"')
  .transform(String)
  .pipe(appleId)
  .meta({ type: ['string', 'integer'], pattern: APPLE_ID.source, minimum: 1 });

const appEntry = z.strictObject({
  bundleId,
  appleItemId: idAsWritten,
  key: locators,
  keyId: z.string().optional(),
  packageUrl: linkedUrl.optional(),
  packageManifest: readableUrl.optional(),
  appShareUrl: linkedUrl.optional(),
  versions: versionRules.optional(),
  marketplaceKit: marketplaceKitOverride.optional(),
});

const apiKeyEntry = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected letters, digits, "_", "." and "-"'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/, 'expected the SHA-256 of the key (printf %s "$KEY" | sha256sum)'),
  tokensPerMinute: wholeNumber(1, 999_999_999).optional(),
  until: z.string().refine(isDate, 'expected a date, such as "2027-12-31"').meta({ format: 'date' }).optional(),
  apps: z.array(z.string()).min(1, 'expected at least one app').optional(),
});

const configFile = z.strictObject({
  domain: domainName.optional(),
  apiKeys: z.array(apiKeyEntry).optional(),
  apps: z.array(appEntry).min(1, 'expected at least one app'),
});

/** The JSON Schema (draft 7) of the file, for editors. It does not contain the rules that concern two members. */
export const appsFileSchema = () =>
  z.toJSONSchema(configFile, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
    override({ jsonSchema }) {
      // The reader accepts a bigint where the schema says "integer".
      if (jsonSchema.type !== undefined) delete jsonSchema.anyOf;
    },
  });

/** One API key, as the operator describes it. */
export type ApiKeyEntry = Readonly<z.output<typeof apiKeyEntry>>;

/** One entry of `apps`. */
export type AppEntry = { readonly [K in keyof z.output<typeof appEntry>]: z.output<typeof appEntry>[K] };

/** Reads the file at `path`. If anything in it is wrong, adds every problem to `problems`, and returns undefined. */
export function readConfigFile(path: string, problems: Problem[]): z.output<typeof configFile> | undefined {
  const report = (message: string) => problems.push({ variable: 'WEBDIST_CONFIG', message });
  let content: unknown;
  try {
    // The parser is loaded only here, because it is a twentieth of what start-up loads. `logLevel: 'error'`: its
    // warnings would print parts of the file on stderr.
    const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml');
    content = parse(readFileSync(path, 'utf8'), { intAsBigInt: true, logLevel: 'error' });
  } catch (error) {
    const { code, linePos } = error as NodeJS.ErrnoException & { linePos?: [{ line: number; col: number }] };
    report(
      linePos
        ? `the file is not YAML or JSON, see line ${linePos[0].line}`
        : `the file cannot be read (${code ?? 'not YAML'})`,
    );
    return undefined;
  }
  const result = configFile.safeParse(content);
  if (!result.success) {
    for (const issue of result.error.issues) report(`${placeOf(issue.path)}: ${issue.message}`);
    return undefined;
  }
  for (const member of ['bundleId', 'appleItemId'] as const)
    if (new Set(result.data.apps.map((app) => app[member])).size < result.data.apps.length)
      report(`apps: two apps have the same ${member}`);
  const names = result.data.apps.flatMap((app) => [app.bundleId, app.appleItemId]);
  for (const { name, apps = [] } of result.data.apiKeys ?? [])
    for (const app of apps.filter((one) => !names.includes(one)))
      report(`apiKeys: the key ${name} is for "${app}", which is not one of the apps`);
  return result.data;
}

const placeOf = (path: readonly PropertyKey[]) =>
  path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '') || 'the file';
