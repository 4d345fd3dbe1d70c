/**
 * All commands. Only their command lines are loaded here. The code that does a command's work, and everything that it
 * imports, is loaded when the command runs.
 */

import { Command, CommanderError } from 'commander';
import { version } from '../version.ts';
import { visibleLines } from '../visible.ts';
import { apiKeysCommand } from './api-keys/command.ts';
import { apiTokenCommand } from './api-token/command.ts';
import { appsCommand } from './apps/command.ts';
import { auditCommand } from './audit/command.ts';
import { backupCommand } from './backup/command.ts';
import { completionCommand } from './completion/command.ts';
import { configCommand } from './config/command.ts';
import { doctorCommand } from './doctor/command.ts';
import { domainsCommand } from './domains/command.ts';
import { initCommand } from './init/command.ts';
import { invocation } from './invocation.ts';
import { keygenCommand } from './keygen/command.ts';
import { keysCommand } from './keys/command.ts';
import { ledgerCommand } from './ledger/command.ts';
import { packagesCommand } from './packages/command.ts';
import { restoreCommand } from './restore/command.ts';
import { sandboxCommand } from './sandbox/command.ts';
import { serveCommand } from './serve/command.ts';
import { statusCommand } from './status/command.ts';
import { tokenCommand } from './token/command.ts';
import { whoamiCommand } from './whoami/command.ts';

/** The whole program. Parsing errors are thrown; they do not end the process. */
export function buildProgram(): Command {
  const program = new Command('webdist')
    .description('Install verification tokens for iOS apps distributed from your own website')
    .version(version)
    .addHelpText(
      'before',
      `The demo, in which Apple, the device and the website are simulated:\n  ${invocation} serve\n`,
    );
  const commands = [
    serveCommand(),
    initCommand(),
    sandboxCommand(),
    doctorCommand(),
    statusCommand(),
    configCommand(),
    keygenCommand(),
    keysCommand(),
    domainsCommand(),
    appsCommand(),
    packagesCommand(),
    tokenCommand(),
    apiKeysCommand(),
    apiTokenCommand(),
    whoamiCommand(),
    ledgerCommand(),
    auditCommand(),
    backupCommand(),
    restoreCommand(),
    completionCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  return configured(program);
}

/**
 * Applies commander's settings to every command, because commander passes them on only to commands that it creates
 * itself.
 */
function configured(command: Command): Command {
  // Options after a subcommand belong to the subcommand, even if its parent has options of the same name.
  command.exitOverride().enablePositionalOptions().showSuggestionAfterError();
  // commander quotes the argument that it refuses.
  command.configureOutput({ outputError: (text, write) => write(visibleLines(text)) });
  command.showHelpAfterError(`(see ${pathOf(command)} --help)`);
  // commander treats a group without a subcommand as an error. Here the group prints its help on stdout, and the exit
  // code is 0.
  command.help = () => {
    command.outputHelp();
    throw new CommanderError(0, 'commander.help', '(outputHelp)');
  };
  for (const sub of command.commands) configured(sub);
  return command;
}

const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
