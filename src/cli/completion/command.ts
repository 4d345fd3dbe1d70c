/** The command line of `webdist completion`. */

import { Argument, Command } from 'commander';
import type { Shell } from './run.ts';

const work = () => import('./run.ts');

export function completionCommand(): Command {
  return new Command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish'] satisfies Shell[]))
    .addHelpText(
      'after',
      '\nExample:\n  $ webdist completion bash > ~/.local/share/bash-completion/completions/webdist',
    )
    .action(async (shell, _, command: Command) => {
      process.stdout.write((await work()).completionScript(shell, command.parent ?? command));
    });
}
