package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/imprint"
)

// completeCommand is the command that the scripts call, with the words up to the one
// being typed. It prints a candidate per line, some with a tab and a description. If
// it prints nothing, the shell completes file names.
const completeCommand = "__complete"

const (
	bashCompletion = `_imprint() {
  local word=${COMP_WORDS[COMP_CWORD]}
  [[ $word == "=" ]] && word=
  COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null | cut -f1)" -- "$word"))
}
complete -o default -F _imprint imprint
`
	zshCompletion = `#compdef imprint
_imprint() {
  local -a found
  found=("${(@f)$("${words[1]/#\~/$HOME}" __complete "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n $found[1] ]]; then
    compadd -- "${(@)found%%$'\t'*}" || _files
  else
    _files
  fi
}
if [[ $funcstack[1] == _imprint ]]; then
  _imprint
else
  compdef _imprint imprint
fi
`
	fishCompletion = `function __imprint_candidates
  set -l words (commandline -opc)
  set -l found ($words[1] __complete $words[2..-1] (commandline -ct) 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c imprint -f -a '(__imprint_candidates)'
`
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a completion script for your shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Print a script that completes commands, flags and names in your shell.

Examples:
   source <(imprint completion bash)      in ~/.bashrc
   source <(imprint completion zsh)       in ~/.zshrc, after compinit
   imprint completion fish > ~/.config/fish/completions/imprint.fish`,
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 1, 1); err != nil {
				return err
			}
			scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
			script, ok := scripts[c.Args().First()]
			if !ok {
				return usagef("no completion for %q, only for bash, zsh and fish", c.Args().First())
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}

// candidate is a word that fits on the command line.
type candidate struct{ word, about string }

func printCandidates(w io.Writer, candidates []candidate) {
	for _, c := range candidates {
		fmt.Fprintln(w, strings.TrimSuffix(c.word+"\t"+c.about, "\t"))
	}
}

// complete returns the candidates for the last of words; none where a file or a text
// of the user's goes.
func complete(app *cli.App, words []string) []candidate {
	if len(words) == 0 {
		words = []string{""}
	}
	words = slices.Clone(words)
	if last := len(words) - 1; words[last] == "=" {
		words[last] = ""
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "=" }) // bash splits --flag=value into three words
	flags, commands := app.Flags, app.Commands
	var cmd *cli.Command
	var open cli.Flag // takes the next word as its value
	find := func(w string) cli.Flag {
		name := strings.TrimLeft(w, "-")
		if f := flagNamed(flags, name); f != nil {
			return f
		}
		return flagNamed(app.Flags, name)
	}
	for _, w := range words[:len(words)-1] {
		switch {
		case open != nil:
			open = nil
		case w == "--":
			return nil
		case len(w) > 1 && w[0] == '-':
			if f := find(w); f != nil && takesValue(f) {
				open = f
			}
		case named(commands, w) != nil:
			cmd = named(commands, w)
			flags, commands = cmd.Flags, cmd.Subcommands
		default:
			commands = nil
		}
	}
	word := words[len(words)-1]
	if open != nil {
		return values(open, "")
	}
	if strings.HasPrefix(word, "-") {
		if name, _, ok := strings.Cut(word, "="); ok {
			if f := find(name); f != nil {
				return values(f, name+"=")
			}
			return nil
		}
		return flagCandidates(flags)
	}
	var found []candidate
	for _, c := range commands {
		found = append(found, candidate{c.Name, c.Usage})
	}
	if cmd != nil && len(commands) == 0 {
		found = arguments(cmd.Name)
	}
	return found
}

func flagCandidates(flags []cli.Flag) []candidate {
	found := []candidate{{"--help", "show help"}}
	for _, f := range flags {
		if f == cli.HelpFlag {
			continue
		}
		about := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			about, _ = splitUsage(d.GetUsage())
		}
		found = append(found, candidate{"--" + f.Names()[0], about})
	}
	return found
}

// values are those of a flag with a fixed set of them, each after prefix.
func values(f cli.Flag, prefix string) []candidate {
	var found []candidate
	switch f.Names()[0] {
	case "resize":
		found = []candidate{{"crop", "central 87.5 % square"}, {"squash", ""}, {"pad", ""}}
		if strings.Contains(f.(*cli.StringFlag).Usage, "auto") {
			found = append(found, candidate{string(imprint.AutoResize), "squash if clearly more accurate"})
		}
	case "layout":
		found = []candidate{{"float", "exact"}, {"coral", "for pycoral"}}
	case "head":
		found = []candidate{{"auto", "the most accurate"}, {"mean", "imprinting"}, {"ridge", "least squares"}, {"lda", "linear discriminants"}}
	case "backbone":
		for _, m := range models.List() {
			if _, err := (models.Store{}).Path(m.Name); err == nil {
				found = append(found, candidate{m.Name, m.About})
			}
		}
	}
	for i := range found {
		found[i].word = prefix + found[i].word
	}
	return found
}

// arguments are those of a command with a fixed set of them.
func arguments(command string) []candidate {
	var found []candidate
	switch command {
	case "pull":
		for _, m := range models.List() {
			found = append(found, candidate{m.Name, m.About})
		}
	case "completion":
		found = []candidate{{"bash", ""}, {"zsh", ""}, {"fish", ""}}
	}
	return found
}
