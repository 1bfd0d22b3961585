/** Completion for shells: a small script for each, which asks `stubdom0 complete` what a word may become and leaves files to the shell. */

export const shells = ['bash', 'zsh', 'fish'] as const;

const scripts: Readonly<Record<(typeof shells)[number], string>> = {
  bash: `_stubdom0() {
  local IFS=$'\\n'
  COMPREPLY=($(stubdom0 complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o bashdefault -o default -F _stubdom0 stubdom0
`,
  zsh: `#compdef stubdom0
_stubdom0() {
  local -a found
  found=(\${(f)"$(stubdom0 complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( \${#found} )); then compadd -a found; else _files; fi
}
if [ "$funcstack[1]" = _stubdom0 ]; then _stubdom0 "$@"; else compdef _stubdom0 stubdom0; fi
`,
  fish: `complete -c stubdom0 -a '(stubdom0 complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
};

/** undefined: no such shell. */
export function completionScript(shell: string): string | undefined {
  return shells.some((known) => known === shell) ? scripts[shell as (typeof shells)[number]] : undefined;
}
