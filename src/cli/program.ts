/** Every command, listed by hand. Must not run anything: `main.ts` does. */

import { Command } from 'commander';
import { version } from '../version.ts';
import { apiTokenCommand } from './api-token.ts';
import { appsCommand } from './apps.ts';
import { auditCommand } from './audit.ts';
import { completionCommand } from './completion.ts';
import { doctorCommand } from './doctor.ts';
import { domainsCommand } from './domains.ts';
import { keygenCommand } from './keygen.ts';
import { keysCommand } from './keys.ts';
import { ledgerCommand } from './ledger.ts';
import { packagesCommand } from './packages.ts';
import { sandboxCommand } from './sandbox.ts';
import { serveCommand } from './serve.ts';
import { tokenCommand } from './token.ts';
import { whoamiCommand } from './whoami.ts';

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
