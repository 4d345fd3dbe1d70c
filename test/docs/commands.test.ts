/**
 * Every command in the README and in docs is run by a test, or there is a reason why not. Fenced blocks of shell are
 * split into commands, and each command has a row below. Every `webdist …` must also be a command of the program.
 */

import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import type { Command } from 'commander';
import t from 'tap';
import { buildProgram } from '../../src/cli/program.ts';
import { type Setting, settings } from '../../src/config/settings.ts';

const pages = [...globSync('*.md'), ...globSync('docs/**/*.md')]
  .filter((page) => !page.endsWith('apple-facts.md'))
  .sort();

/** A text in the test that runs a command, or why none does. */
type RunBy = { readonly text: string } | { readonly reason: string };

const VENDOR = { reason: "the vendor's own client, which needs an account there" };
const WRITES = { reason: 'writes pages of the documentation' };

const rows: readonly (readonly [command: RegExp, runBy: RunBy])[] = [
  [/^npm ci( && npm (start|test))?$/, { text: 'npm ci' }],
  [/^npm start$/, { text: 'npm start' }],
  [/^npm install webdist-button$/, { text: 'dependencies.webdist-button' }],
  [/^npm test$/, { text: 'npm test' }],
  [/^npm run (check|build)$/, { text: 'npm run check' }],
  [/^npm run (test:fast|test:nightly|coverage)$/, { text: 'npm run test:nightly' }],
  [/^npm run docs$/, { text: "'run', 'docs'" }],
  [/^npm run -s release -- --dry-run --quick$/, { text: 'npm run -s release -- --dry-run --quick' }],
  [/^node -p 'JSON\.parse\(/, { text: "readFileSync('docs/supply-chain.md'" }],
  [/^npm audit signatures$/, { text: 'npm audit signatures' }],
  [/^(cosign verify|cosign verify-blob|sha256sum|gh attestation) /, { reason: 'needs a published release' }],
  [/^npm run dev$/, { text: "'run', 'dev'" }],
  [/^npm test -- test\/\S+\.test\.ts( --grep=\S+)?$/, { text: 'npm test' }],
  [/^(WEBDIST_WRITE_DOCS=1 )(TEST_IMAGE=\S+ )?npm test -- /, WRITES],
  [/^npm run simulate -- --/, { text: "await simulate('--seed'" }],
  [
    /^NODE_V8_COVERAGE=coverage npm run simulate |^npx c8 report /,
    { reason: 'measures coverage, on which nothing depends' },
  ],
  [/^npm run soak /, { text: "'test/nightly/soak/soak.ts'" }],
  [/^curl -s -X POST localhost:8080\/install-token /, { text: 'localhost:8080/install-token' }],
  [/^curl -s -X POST localhost:8090\/_sandbox\/apps /, { text: "control(sandbox, 'POST', 'apps'" }],
  [/^curl -s -X (POST|DELETE) localhost:8090\/_sandbox\/faults/, { text: '/_sandbox/faults' }],
  [/^docker build -t webdist \.$/, { text: 'docker build .' }],
  [/^docker compose -f docker\/compose\.yaml up --build$/, { text: 'compose -f docker/compose.yaml' }],
  [/^docker run --rm -p 8080:8080 -e WEBDIST_MODE=sandbox webdist$/, { text: "'WEBDIST_MODE=sandbox'" }],
  [/^docker run --read-only /, { text: "'--read-only', '--cap-drop', 'ALL'" }],
  [/^helm install webdist /, { text: 'helm install webdist' }],
  [/^(helm|kubectl) -n webdist /, { reason: 'needs a cluster that runs pods' }],
  [/^webdist keygen --out /, { text: "'--out'" }],
  [/^webdist doctor( --public \S+)?$/, { text: "webdist(['doctor']" }],
  [/^webdist keys rotate --to \S+ --overlap \d+$/, { text: "'--to', to, '--overlap', '1'" }],
  [/^webdist keys rotate --to \S+$/, { text: "'keys', 'rotate', '--to'" }],
  [/^webdist audit (verify|find) /, { text: "'audit', 'verify'" }],
  [/^webdist (backup --out|restore) /, { text: "shellBlocksOf('docs/backup.md'" }],
  [/^webdist (status|keys (stop|resume|list|rotate --to "file))\b/, { text: 'shellBlocksOf(PAGE, section)' }],
  [/^(rm -f "\$WEBDIST_DATA_DIR|curl -s http:)/, { text: 'shellBlocksOf(PAGE, section)' }],
  [/^openssl enc -d /, { text: "shellBlocksOf('docs/backup.md'" }],
  [/^webdist ledger (export|forget|stats)/, { text: "'ledger', ...args" }],
  [/^webdist packages (list|pull|verify|serve)/, { text: "'packages', ...args" }],
  [/^webdist sandbox device install /, { text: "'device', 'install'" }],
  [/^webdist sandbox --port 8090 --env-file /, { text: "'sandbox', '--env-file'" }],
  [
    /^(mkdir my-service|set -a; \. my-service\/\.env; set \+a|curl -sf http:\/\/localhost:8080\/health\/ready)$/,
    { text: "readFileSync('docs/first-install.md'" },
  ],
  [/^webdist init /, { text: "readFileSync('docs/first-install.md'" }],
  [/^set -a; \. \.\/sandbox\.env; npm start$/, { text: 'parseEnv(readFileSync(file' }],
  [/^softhsm2-util |^pkcs11-tool /, { text: "'--init-token', '--free'" }],
  [/^printf 123456 > pin/, { reason: 'the shell alone' }],
  [/^shred -u key\.pem$/, { reason: 'coreutils alone' }],
  [/^(aws|az|gcloud|vault|for role in) /, VENDOR],
];

/** The commands of a block of shell: as many lines together as bash needs for one. */
function commandsIn(block: string): string[] {
  const commands: string[] = [];
  let lines: string[] = [];
  for (const line of block.split('\n')) {
    if (lines.length === 0 && line.trim() === '') continue;
    lines.push(line);
    const text = lines.join('\n');
    const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' });
    if (status !== 0 || stderr !== '' || line.endsWith('\\')) continue;
    commands.push(text.replace(/\s+#.*$/, '').trim());
    lines = [];
  }
  if (lines.length > 0) throw new Error(`bash does not understand: ${lines.join('\n')}`);
  return commands;
}

/** The fenced blocks of a page, also those in a list, which are indented. */
const blocksOf = (page: string) =>
  [...readFileSync(page, 'utf8').matchAll(/^( *)```(\w*)\n([\s\S]*?)^ *```$/gm)].map(
    ([, indent = '', language = '', block = '']) => ({
      language,
      block: block.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    }),
  );

const program = buildProgram();

/** Returns what is wrong with the words after `webdist`; undefined if the program has that command and its options. */
function unknownIn(words: readonly string[]): string | undefined {
  let command: Command = program;
  const rest = [...words];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (/^[|&>;]/.test(word)) return undefined;
    const sub = command.commands.find((one) => one.name() === word);
    if (sub) command = sub;
    else if (word.startsWith('--') && !['--help', '--version', '--'].includes(word)) {
      const option = command.options.find(({ long }) => long === word);
      if (!option) return `${command.name()} has no option ${word}`;
      if (option.required || option.optional) rest.shift();
    } else if (command.commands.length > 0 && /^[a-z]/.test(word) && command.registeredArguments.length === 0)
      return `${command.name()} has no command ${word}`;
  }
  return undefined;
}

/** `export NAME=value`: a setting, or a variable of a vendor, and a value that the setting accepts. */
function problemWithExport(command: string): string | undefined {
  const [, name = '', quoted = ''] = /^export ([A-Z_]+)=(.*)$/s.exec(command) ?? [];
  const setting: Setting | undefined = settings[name as keyof typeof settings];
  if (!setting) return /^(VAULT_|DISTRIBUTION_KEY$)/.test(name) ? undefined : `${name} is not a setting`;
  const value = quoted.replace(/^(["'])(.*)\1$/s, '$2').replaceAll('$PWD', '/tmp');
  return setting.form.safeParse(value).success ? undefined : `${name} does not accept ${value}`;
}

const runners = ['.ci/run', ...globSync('test/**/*.ts', { exclude: ['test/docs/**'] })].sort();

const seen = new Set<RegExp>();
const rowFor = (command: string) => rows.filter(([pattern]) => pattern.test(command));

let count = 0;
for (const page of pages)
  for (const { language, block } of blocksOf(page)) {
    if (language === '') t.fail(`${page}: a fenced block without a language: ${block.slice(0, 60)}`);
    if (language === 'text')
      for (const [, words = ''] of block.matchAll(/^(?:\$ )?(?:npm run -s webdist -- |webdist )(.+?)(?: {2}.*)?$/gm))
        t.equal(unknownIn(words.split(/\s+/)), undefined, `${page}: webdist ${words}`);
    if (language !== 'sh') continue;
    for (const written of commandsIn(block)) {
      count += 1;
      const command = written.replace(/^npm run -s webdist -- /, 'webdist ');
      if (command.startsWith('export ')) {
        t.equal(problemWithExport(command), undefined, `${page}: ${command}`);
        continue;
      }
      const found = rowFor(command);
      t.equal(found.length, 1, `${page}: one row for ${command}`);
      for (const [pattern] of found) seen.add(pattern);
      if (command.startsWith('webdist '))
        t.equal(unknownIn(command.split(/\s+/).slice(1)), undefined, `${page}: ${command}`);
      for (const file of command.match(/\btest\/\S+\.ts\b/g) ?? [])
        t.ok(globSync(file).length > 0, `${page}: ${file} exists`);
    }
  }
t.ok(count > 50, `${count} commands`);

for (const [pattern, runBy] of rows) {
  t.ok(seen.has(pattern), `${pattern}: a page has such a command`);
  if ('text' in runBy) {
    const file = runners.find((one) => readFileSync(one, 'utf8').includes(runBy.text));
    t.ok(file, `${file ?? 'no test'} runs ${pattern}`);
  }
}

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };

/** Commands within sentences, and the examples of the help texts. */
for (const page of pages)
  for (const [, written = ''] of readFileSync(page, 'utf8').matchAll(/(?:`|\$ )((?:npm|node|webdist) [^`\n]*)/g)) {
    const command = written.replace(/^npm run -s webdist -- /, 'webdist ');
    const words = command.split(/\s+/);
    const script = /^npm run (?:-s )?([a-z][\w:]*)/.exec(command)?.[1];
    if (words[0] === 'webdist') t.equal(unknownIn(words.slice(1)), undefined, `${page}: ${command}`);
    else if (script !== undefined) t.ok(scripts[script], `${page}: ${command}: the script exists`);
    for (const file of command.match(/\btest\/\S+\.ts\b/g) ?? [])
      t.ok(globSync(file).length > 0 || /\bx\.test/.test(file), `${page}: ${file} exists`);
  }

/** Commands in messages: hints of the doctor and of errors, and what init prints. */
const names = program.commands.map((command) => command.name()).join('|');
for (const file of globSync('src/**/*.ts').sort())
  for (const [, words = ''] of readFileSync(file, 'utf8').matchAll(
    new RegExp(`\\bwebdist ((?:${names})(?: (?:\\$\\{[^}]*\\}|[^\\s\`'"(){};,.…\\\\]+))*)`, 'g'),
  )) {
    // What comes after a value depends on it.
    const command = words.replace(/ \$\{.*/, '').split(/\s+/);
    t.equal(unknownIn(command), undefined, `${file}: webdist ${command.join(' ')}`);
  }
