/**
 * `webdist completion`: prints a shell script that completes commands and options, generated from the commands. A
 * library (@bomb.sh/tab) would be a dependency just for these few lines.
 */

import type { Command } from 'commander';

export type Shell = 'bash' | 'zsh' | 'fish';

/** Returns the script for a program. */
export const completionScript = (shell: Shell, program: Command): string => scripts[shell](wordsOf(program));

type Words = readonly { readonly path: string; readonly words: string }[];

/** Returns, by the path of each command (`''` for the program), its subcommands and its long options. */
function wordsOf(command: Command, path: readonly string[] = []): Words {
  const options = [...command.options.map(({ long }) => long), '--help'];
  const words = [...command.commands.map((sub) => sub.name()), ...options].join(' ');
  return [{ path: path.join(' '), words }, ...command.commands.flatMap((sub) => wordsOf(sub, [...path, sub.name()]))];
}

/**
 * The path consists of the words before the cursor that are not options. Its longest known prefix selects the command.
 */
const bash = (words: Words) => `_webdist() {
  local path="" word
  COMPREPLY=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  local words=""
  while :; do
    case "$path" in
${words.map((one) => `      "${one.path}") words="${one.words}"; break ;;`).join('\n')}
    esac
    case "$path" in *" "*) path="\${path% *}" ;; *) path="" ;; esac
  done
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _webdist webdist
`;

const fish = (words: Words) =>
  words
    .map(({ path, words }) => {
      const seen = path === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${path.split(' ').at(-1)}`;
      return `complete -c webdist -n '${seen}' -a '${words}'\n`;
    })
    .join('');

const scripts: Readonly<Record<Shell, (words: Words) => string>> = {
  bash,
  zsh: (words: Words) => `autoload -U +X bashcompinit && bashcompinit\n${bash(words)}`,
  fish,
};
