/** No command writes a control character that came from outside: in its output, in its errors, or in JSON. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { failureOf } from '../src/cli/failure.ts';
import { WebdistError } from '../src/errors.ts';
import { visible, visibleLines, visibleOnceDecoded } from '../src/visible.ts';
import { temporaryFolder } from './harness/folder.ts';
import { webdist } from './harness/process.ts';

const kinds = {
  'escape sequence': ['\u001b[2J', '\\u001b[2J'],
  'own colour': ['\u001b[31mred\u001b[39m', '\\u001b[31mred\\u001b[39m'],
  'operating system command': ['\u001b]0;title\u0007', '\\u001b]0;title\\u0007'],
  'carriage return': ['\rok', '\\u000dok'],
  'line feed': ['\nok', '\\u000aok'],
  backspace: ['\u0008', '\\u0008'],
  delete: ['\u007f', '\\u007f'],
  'C1 control sequence introducer': ['\u009b2J', '\\u009b2J'],
  'first and last of C1': ['\u0080\u009f', '\\u0080\\u009f'],
  'bidirectional override': ['\u202egpj.exe\u202c', '\\u202egpj.exe\\u202c'],
  'bidirectional isolate': ['\u2066\u2069', '\\u2066\\u2069'],
  'other text': ['ok "é" 漢字 😀 \u00a0', 'ok "é" 漢字 😀 \u00a0'],
} as const;

t.test('each kind of character', async (t) => {
  for (const [kind, [text, shown]] of Object.entries(kinds)) {
    t.equal(visible(text), shown, kind);
    t.equal(JSON.parse(visible(JSON.stringify(text))), text, `${kind}: JSON keeps its value`);
    const { line } = failureOf(new WebdistError('not_found', `${text}.`));
    t.equal(line, `${kind === 'line feed' ? text : shown}.`, `${kind}: in an error`);
  }
  t.equal(visibleLines('one\n\u001btwo'), 'one\n\\u001btwo');
});

t.test('JSON that is decoded for a terminal', async (t) => {
  const decoded = (text: string): string => JSON.parse(visibleOnceDecoded(JSON.stringify(text)));
  for (const [text, shown] of [
    ['\u001b[2J\u009b\u202e\u0000', '\\u001b[2J\\u009b\\u202e\\u0000'],
    ['\b\f\r', '\\b\\f\\r'],
    ['lines\n\tstay', 'lines\n\tstay'],
    ['"quoted" \\', '"quoted" \\'],
    ['\\u001b is no escape', '\\u001b is no escape'],
    ['\\\u001b', '\\\\u001b'],
  ] as const)
    t.equal(decoded(text), shown);
});

const HOSTILE = 'a\u001b[2J\u0007\u007f\u009b1m\u202eb';
const SHOWN = 'a\\u001b[2J\\u0007\\u007f\\u009b1m\\u202eb';
const isClean = (text: string) => !/[\p{Cc}\p{Bidi_Control}]/u.test(text.replaceAll('\n', ''));
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

t.test('commands', async (t) => {
  const folder = join(temporaryFolder(t), HOSTILE);
  mkdirSync(folder);
  writeFileSync(join(folder, 'manifest.json'), '{}');
  const claims = { iss: HOSTILE, aud: HOSTILE, sub: HOSTILE, nonce: HOSTILE, dtype: HOSTILE };
  const jwt = `${part({ alg: 'ES256', kid: HOSTILE })}.${part(claims)}.${'A'.repeat(86)}`;
  const jwks = join(folder, 'jwks.json');
  writeFileSync(jwks, '{"keys":[]}');
  const commands = [
    ['packages', 'verify', folder],
    ['token', 'verify', '--jwks', jwks, jwt],
    ['token', 'verify', '--jwks', join(folder, 'none'), jwt],
    ['audit', 'verify', join(folder, 'audit')],
    [HOSTILE],
    ['token', `--${HOSTILE}`],
    ['token', 'verify', jwt, HOSTILE],
  ];
  for (const args of commands)
    for (const json of [[], ['--json']]) {
      const { stdout, stderr } = await webdist([...args, ...json]);
      const name = [...args.slice(0, 2), ...json].join(' ');
      t.ok(isClean(stdout + stderr), `${name}: no control characters`);
      t.match(stdout + stderr, SHOWN.slice(0, 9), `${name}: they are shown escaped`);
    }
});
