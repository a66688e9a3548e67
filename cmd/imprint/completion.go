package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The scripts ask the command itself, which answers when its last argument is
// --generate-bash-completion.
const (
	bashCompletion = `_imprint() {
  local word=${COMP_WORDS[COMP_CWORD]} words
  words=$("${COMP_WORDS[@]:0:COMP_CWORD}" $([[ $word == -* ]] && printf %s "$word") --generate-bash-completion 2>/dev/null)
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _imprint imprint
`
	zshCompletion = `#compdef imprint
_imprint() {
  local word=$words[CURRENT] -a answers
  if [[ $word == -* ]]; then
    answers=("${(@f)$($words[1,CURRENT-1] $word --generate-bash-completion 2>/dev/null)}")
  else
    answers=("${(@f)$($words[1,CURRENT-1] --generate-bash-completion 2>/dev/null)}")
  fi
  compadd -- ${answers%%:*}
  _files
}
compdef _imprint imprint
`
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the completion script of a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Examples:
   source <(imprint completion bash)
   imprint completion fish > ~/.config/fish/completions/imprint.fish`,
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 1, 1); err != nil {
				return err
			}
			var script string
			switch shell := c.Args().First(); shell {
			case "bash":
				script = bashCompletion
			case "zsh":
				script = zshCompletion
			case "fish":
				var err error
				if script, err = c.App.ToFishCompletion(); err != nil {
					return err
				}
			default:
				return usagef("completion for %q: it is there for bash, zsh and fish", shell)
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}
