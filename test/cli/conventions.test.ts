/**
 * The conventions of the command line, for every command at every level: help, unknown options, missing and excess arguments,
 * values of a wrong kind, abbreviations, and `--json`. Nothing runs: the command line is only parsed.
 */

import { type Command, CommanderError, type Option } from 'commander';
import t from 'tap';
import { failureOf } from '../../src/cli/failure.ts';
import { buildProgram } from '../../src/cli/program.ts';

type Parsed = { readonly code: number | 'runs'; readonly stdout: string; readonly stderr: string };

/** Each command from the top; `change` gets every command of a new program. */
function programWith(change: (command: Command) => unknown): Command {
  const program = buildProgram();
  for (const { command } of commandsOf(program)) change(command);
  return program;
}

function commandsOf(command: Command, path: readonly string[] = []): { command: Command; path: readonly string[] }[] {
  return [{ command, path }, ...command.commands.flatMap((sub) => commandsOf(sub, [...path, sub.name()]))];
}

/** Parses a command line; `runs` if the command would run. */
async function parse(words: readonly string[], width = 80): Promise<Parsed> {
  let [stdout, stderr] = ['', ''];
  const program = programWith((command) => {
    command.configureOutput({
      writeOut: (text) => (stdout += text),
      writeErr: (text) => (stderr += text),
      getOutHelpWidth: () => width,
      getOutHasColors: () => false,
    });
    // A group prints its help instead.
    if (command.commands.length === 0 || command.name() === 'sandbox') command.action(() => undefined);
  });
  try {
    await program.parseAsync(words, { from: 'user' });
    return { code: 'runs', stdout, stderr };
  } catch (error) {
    if (!(error instanceof CommanderError)) stderr += failureOf(error).line;
    return { code: failureOf(error).exitCode, stdout, stderr };
  }
}

const all = commandsOf(buildProgram());
const leaves = all.filter(({ command }) => command.commands.length === 0 || command.name() === 'sandbox');
const needed = (command: Command) =>
  command.registeredArguments
    .filter(({ required }) => required)
    .map((one) => (one.name() === 'url' ? 'https://example.com' : 'bash'));
/** The arguments and mandatory options without which a command does not run. */
const complete = (command: Command) => [
  ...command.options.flatMap(({ mandatory, long }) => (mandatory ? [`${long}`, 'x'] : [])),
  ...needed(command),
];

t.test('help', async (t) => {
  for (const { path } of all)
    for (const width of [80, 200]) {
      const name = ['webdist', ...path].join(' ');
      const { code, stdout, stderr } = await parse([...path, '--help'], width);
      t.equal(code, 0, `${name} --help`);
      t.match(stdout, new RegExp(`^Usage: ${name}\\b`, 'm'));
      t.equal(stderr, '', 'help is data');
      const long = stdout.split('\n').filter((line) => line.length > width && !/^ {2}\$ |https?:/.test(line));
      t.strictSame(long, [], `${name}: it fits into ${width} columns`);
    }
});

t.test('wrong usage exits 2, and refers to the help of that command', async (t) => {
  for (const { command, path } of leaves) {
    const name = ['webdist', ...path].join(' ');
    const words = [...path, ...complete(command)];
    const cases: readonly (readonly [words: readonly string[], says: RegExp])[] = [
      [[...words, '--nonsense'], /unknown option '--nonsense'/],
      [[...words, '-x'], /unknown option '-x'/],
      ...(needed(command).length > 0 ? [[path, /missing required argument|required option/] as const] : []),
      ...(command.registeredArguments.some(({ variadic }) => variadic)
        ? []
        : [[[...words, 'a', 'b', 'c'], /too many arguments|unknown command/] as const]),
      ...command.options
        .filter(({ required }) => required)
        .map(({ long }) => [[...words, long ?? ''], /argument missing/] as const),
    ];
    for (const [line, says] of cases) {
      const { code, stdout, stderr } = await parse(line);
      t.equal(code, 2, line.join(' '));
      t.match(stderr, says, line.join(' '));
      t.match(stderr, `(see ${name} --help)`, line.join(' '));
      t.equal(stdout, '');
    }
  }
});

/** An option whose value has a form, and a value that has not. */
const isFormed = ({ flags, argChoices }: Option) =>
  argChoices !== undefined || /<(url|seconds|number|port|date|host:port|address|version-id)>/.test(flags);

t.test('values of a wrong kind exit 2, and nothing runs', async (t) => {
  let count = 0;
  for (const { command, path } of leaves)
    for (const option of command.options.filter(isFormed)) {
      count += 1;
      const line = [...path, ...complete(command), `${option.long}=@ wrong @`];
      const { code, stderr } = await parse(line);
      t.equal(code, 2, line.join(' '));
      t.match(stderr, option.long ?? '', line.join(' '));
    }
  t.ok(count > 10, `${count} options`);
});

t.test('options are not abbreviated, may be repeated, and end at --', async (t) => {
  for (const { command, path } of leaves) {
    const words = [...path, ...complete(command)];
    for (const { long = '' } of command.options) {
      const short = long.slice(0, -1);
      if (command.options.some((one) => one.long === short)) continue;
      const { code, stderr } = await parse([...words, short]);
      t.equal(code, 2, `${words.join(' ')} ${short}`);
      t.match(stderr, `(Did you mean`, 'a suggestion');
    }
    if (command.options.some(({ long }) => long === '--json'))
      t.equal((await parse([...words, '--json', '--json'])).code, 'runs', words.join(' '));
    t.equal((await parse([...words, '--'])).code, 'runs', `${words.join(' ')} --`);
    const isFree = command.registeredArguments.some(({ required, parseArg }) => required && !parseArg);
    if (isFree) t.equal((await parse([...words.slice(0, -1), '--', '--json'])).code, 'runs', 'an argument, after --');
  }
});

t.test(
  'every command that prints data has --json, and every command that changes something has --dry-run',
  async (t) => {
    const without = (flag: string) =>
      leaves
        .filter(({ command }) => !command.options.some(({ long }) => long === flag))
        .map(({ path }) => path.join(' '));
    t.strictSame(without('--json'), ['serve', 'config schema', 'packages serve', 'completion']);
    const changing =
      /^(keys (add|remove|rotate|stop|resume)|domains (add|remove)|packages (pull|hold|resume|use)|ledger forget|restore|backup|init)$/;
    t.strictSame(
      without('--dry-run').filter((path) => changing.test(path)),
      [],
    );
    const confirmed = /^(keys (remove|rotate|stop|resume)|domains remove|packages (hold|resume|use)|restore)$/;
    t.strictSame(
      without('--yes').filter((path) => confirmed.test(path)),
      [],
    );
  },
);
