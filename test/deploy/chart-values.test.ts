/**
 * `values.schema.json` of the Helm chart has every setting by its name, and refuses unknown names, wrong types and secrets,
 * which belong in files.
 */

import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import t from 'tap';
import { parse } from 'yaml';
import { z } from 'zod';
import { type Setting, settings } from '../../src/config/settings.ts';
import { writeJson } from '../harness/write-json.ts';

const PATH = 'deploy/helm/webdist/values.schema.json';
const values = parse(readFileSync('deploy/helm/webdist/values.yaml', 'utf8'));
const schema = JSON.parse(readFileSync(PATH, 'utf8'));

/** Helm's regular expressions (RE2) do not support lookaround and such classes; webdist itself makes these checks. */
const isRe2 = (pattern: string) => !/\(\?[=!<]|\\p/i.test(pattern);

/** A setting in the chart: a string with the pattern of its form, or one of the setting's words. */
function propertyOf({ form, about }: Setting) {
  const { pattern, enum: words } = z.toJSONSchema(form, { io: 'input', unrepresentable: 'any' });
  return {
    description: about,
    type: 'string',
    ...(pattern && isRe2(pattern) && { pattern }),
    ...(words && { enum: words }),
  };
}

const properties = Object.fromEntries(
  Object.entries<Setting>(settings).flatMap(([name, setting]) => [
    ...(setting.isSecret ? [] : [[name, propertyOf(setting)]]),
    [`${name}_FILE`, { description: `file that holds ${name}`, type: 'string' }],
  ]),
);
const current = structuredClone(schema);
current.properties.settings.properties = JSON.parse(JSON.stringify(properties));
if (process.env['WEBDIST_WRITE_DOCS']) writeJson(PATH, current);
else t.strictSame(schema, current, `${PATH} is current (WEBDIST_WRITE_DOCS=1 writes it)`);

const validate = new Ajv({ allErrors: true, allowUnionTypes: true }).compile(current);

/** The values with one of them replaced. A path ends at a member that may not exist yet. */
function changed(path: string, value: unknown) {
  const copy = structuredClone(values);
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  keys.reduce((object, key) => object[key], copy)[last] = value;
  return copy;
}

t.ok(validate(values), 'the values of the chart');

const accepted: readonly (readonly [path: string, value: unknown])[] = [
  ['settings.WEBDIST_RATE_LIMIT', '600'],
  ['settings.WEBDIST_REGISTER', 'check'],
  ['settings.WEBDIST_WEBHOOK_SECRET_FILE', '/secrets/webhook'],
  ['settings.VAULT_ADDR', 'https://vault.example.com'],
  ['settings.WEBDIST_LEDGER', 'postgres://webdist@db/webdist'],
  ['settings.VAULT_TOKEN_FILE', '/secrets/vault-token'],
  ['settings.AWS_REGION', 'eu-central-1'],
  ['image.digest', `sha256:${'a'.repeat(64)}`],
  ['secrets', { source: 'existing', name: 'webdist-keys' }],
  ['secrets', { source: 'csi', name: '', csi: { provider: 'vault', parameters: { roleName: 'webdist' } } }],
  ['networkPolicy.egress.collector', { to: [{ podSelector: {} }], ports: [{ port: 4318 }] }],
  ['disruption.maxUnavailable', '30%'],
  ['scheduling', { nodeSelector: { disk: 'ssd' }, tolerations: [{ key: 'spot' }], priorityClassName: 'high' }],
  ['ingress', { enabled: true, className: 'nginx', tlsSecret: 'shop-tls' }],
];
for (const [path, value] of accepted) t.ok(validate(changed(path, value)), `${path}: ${JSON.stringify(value)}`);

const refused: readonly (readonly [path: string, value: unknown])[] = [
  ['replicas', 3],
  ['image.pullPolicy', 'Always'],
  ['image.digest', 'latest'],
  ['settings.WEBDIST_COLOUR', 'red'],
  ['settings.WEBDIST_DOMAINS', 'example.com'],
  ['settings.ASC_KEY', 'x'],
  ['settings.WEBDIST_RATE_LIMIT', 600],
  ['settings.WEBDIST_RATE_LIMIT', 'many'],
  ['settings.WEBDIST_REGISTER', 'yes'],
  // A number would be rendered as 6.473805491e+09.
  ['settings.WEBDIST_APPLE_ITEM_ID', 6473805491],
  ['settings.WEBDIST_OPERATOR_PORT', undefined],
  ['settings.WEBDIST_LEDGER_SECRET', 'x'.repeat(32)],
  ['settings.PGPASSWORD', 'x'],
  ['settings.WEBDIST_LEDGER', 'postgres://webdist:secret@db/webdist'],
  ['settings.WEBDIST_REDIS_URL', 'rediss://:secret@redis:6379'],
  ['settings.VAULT_TOKEN', 'x'],
  ['settings.AWS_SECRET_ACCESS_KEY', 'x'],
  ['settings.ASC_PRIVATE_KEY_B64', 'LS0t'],
  ['secrets.source', 'vault'],
  ['secrets', { source: 'csi', name: '', csi: { provider: '', parameters: {} } }],
  ['autoscaling.minReplicas', '3'],
  ['autoscaling.minReplicas', 0],
  ['autoscaling.cpu', 'half'],
  ['disruption.maxUnavailable', 0],
  ['networkPolicy.enabled', 'no'],
  ['networkPolicy.egress.https', { ports: [] }],
  ['networkPolicy.egress.https', { port: 443 }],
  ['ingress', { enabled: true }],
];
for (const [path, value] of refused) t.notOk(validate(changed(path, value)), `${path}: ${JSON.stringify(value)}`);
