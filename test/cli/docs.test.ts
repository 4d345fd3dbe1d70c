/** docs/cli.md and docs/doctor.md are up to date: they are generated from the commands and the checks. */

import { readFileSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import t from 'tap';
import { buildProgram } from '../../src/cli/program.ts';
import { checks } from '../../src/doctor/doctor.ts';

const commandsBelow = (command: Command): Command[] => [command, ...command.commands.flatMap(commandsBelow)];

function section(command: Command): string {
  const names = [command.name()];
  for (let parent = command.parent; parent; parent = parent.parent) names.unshift(parent.name());
  let help = '';
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => 100 });
  command.outputHelp();
  return `## ${names.join(' ')}\n\n\`\`\`text\n${help.trimEnd()}\n\`\`\`\n`;
}

const all = buildProgram().commands.flatMap(commandsBelow);
const cells = (...texts: string[]) => `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
const rows = (side: 'private' | 'public') =>
  checks.filter((check) => check.section === side).map(({ id, why }) => cells(`\`${id}\``, why));
const tables = (['private', 'public'] as const).map((side) =>
  [
    `### ${side === 'private' ? 'Private' : 'Public'} checks`,
    '',
    cells('check', 'why'),
    cells('---', '---'),
    ...rows(side),
    '',
  ].join('\n'),
);

const files: Readonly<Record<string, string>> = {
  'docs/cli.md': all.map(section).join('\n'),
  'docs/doctor.md': tables.join('\n'),
};

// Run with WEBDIST_WRITE_DOCS=1 to write the generated parts instead of checking them.
const between = /(<!-- generated -->\n)[\s\S]*?(<!-- \/generated -->)/;
for (const [path, generated] of Object.entries(files)) {
  const text = readFileSync(path, 'utf8');
  if (process.env['WEBDIST_WRITE_DOCS'])
    writeFileSync(
      path,
      text.replace(between, (_, a, b) => `${a}${generated}${b}`),
    );
  else t.ok(text.includes(`<!-- generated -->\n${generated}<!-- /generated -->`), `${path} is up to date`);
}

const hasExample = (command: Command) => /\nExamples?:\n {2}\$ /.test(section(command));
for (const command of all)
  t.ok(
    hasExample(command) || (command.parent?.parent && hasExample(command.parent)),
    `${command.name()} of ${command.parent?.name()}, or its group, has an example`,
  );
t.ok(checks.length >= 30);
