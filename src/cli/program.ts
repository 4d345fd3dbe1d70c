/**
 * Every command, listed by hand. Only what is said on the command line is loaded for it; what a command does, and all it
 * needs, when it is called. Must not run anything: `main.ts` does.
 */

import { Command } from 'commander';
import { version } from '../version.ts';
import { apiTokenCommand } from './commands/api-token.ts';
import { appsCommand } from './commands/apps.ts';
import { auditCommand } from './commands/audit.ts';
import { completionCommand } from './commands/completion.ts';
import { doctorCommand } from './commands/doctor.ts';
import { domainsCommand } from './commands/domains.ts';
import { keygenCommand } from './commands/keygen.ts';
import { keysCommand } from './commands/keys.ts';
import { ledgerCommand } from './commands/ledger.ts';
import { packagesCommand } from './commands/packages.ts';
import { sandboxCommand } from './commands/sandbox.ts';
import { serveCommand } from './commands/serve.ts';
import { tokenCommand } from './commands/token.ts';
import { whoamiCommand } from './commands/whoami.ts';

/** The whole program; parsing throws commander's errors instead of ending the process. */
export function buildProgram(): Command {
  const program = new Command('webdist')
    .description('Install verification tokens for iOS apps distributed from your own website')
    .version(version);
  const commands = [
    serveCommand(),
    sandboxCommand(),
    doctorCommand(),
    keygenCommand(),
    keysCommand(),
    domainsCommand(),
    appsCommand(),
    packagesCommand(),
    tokenCommand(),
    apiTokenCommand(),
    whoamiCommand(),
    ledgerCommand(),
    auditCommand(),
    completionCommand(),
  ];
  for (const command of commands) program.addCommand(command);
  return throwing(program);
}

/** Commander hands its settings on only to commands that it makes itself. */
function throwing(command: Command): Command {
  command.exitOverride().showSuggestionAfterError();
  command.showHelpAfterError(`(${pathOf(command)} --help says more)`);
  for (const sub of command.commands) throwing(sub);
  return command;
}

const pathOf = (command: Command): string =>
  command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name();
