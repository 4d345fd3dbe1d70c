/**
 * Every command, listed by hand. Only what is said on the command line is loaded for it; what a command does, and all it
 * needs, when it is called. Must not run anything: `main.ts` does.
 */

import { Command } from 'commander';
import { version } from '../version.ts';
import { apiTokenCommand } from './api-token/command.ts';
import { appsCommand } from './apps/command.ts';
import { auditCommand } from './audit/command.ts';
import { completionCommand } from './completion/command.ts';
import { doctorCommand } from './doctor/command.ts';
import { domainsCommand } from './domains/command.ts';
import { keygenCommand } from './keygen/command.ts';
import { keysCommand } from './keys/command.ts';
import { ledgerCommand } from './ledger/command.ts';
import { packagesCommand } from './packages/command.ts';
import { sandboxCommand } from './sandbox/command.ts';
import { serveCommand } from './serve/command.ts';
import { tokenCommand } from './token/command.ts';
import { whoamiCommand } from './whoami/command.ts';

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
