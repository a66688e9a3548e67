package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
)

// completeCommand is the command that the scripts call with the words typed so far. It
// prints one candidate per line, some followed by a tab and a description. If it prints
// nothing, the shell completes file names.
const completeCommand = "__complete"

const (
	// Don't use compgen -W: it expands its words, and labels may contain $(…).
	bashCompletion = `_imprint() {
  local word=${COMP_WORDS[COMP_CWORD]} found
  [[ $word == "=" ]] && word=
  word=${word//\\/} COMPREPLY=()
  while IFS=$'\t' read -r found _; do
    [[ $found == "$word"* ]] && COMPREPLY+=("$(printf %q "$found")")
  done < <("${COMP_WORDS[0]/#\~/$HOME}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
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
				return usagef("no completion for %q, only for %s", c.Args().First(), strings.Replace(orList(shells), " or ", " and ", 1))
			}
			_, err := fmt.Fprint(c.App.Writer, script)
			return err
		},
	}
}

func printCandidates(w io.Writer, candidates []choice) {
	for _, c := range candidates {
		fmt.Fprintln(w, strings.TrimSuffix(c.value+"\t"+c.about, "\t"))
	}
}

// complete returns the candidates for the last word in words, or nil if a file or free text is
// expected.
func complete(app *cli.App, words []string) []choice {
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
	var open cli.Flag // the flag that takes the next word as its value, or nil
	dir := cmp.Or(os.Getenv("IMPRINT_WORKSPACE"), defaultWorkspace)
	given := 0 // number of arguments
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
			if open.Names()[0] == "workspace" {
				dir = w
			}
			open = nil
		case w == "--":
			return nil
		case len(w) > 1 && w[0] == '-':
			if name, value, ok := strings.Cut(w, "="); ok {
				if strings.TrimLeft(name, "-") == "workspace" {
					dir = value
				}
			} else if f := find(w); f != nil && takesValue(f) {
				open = f
			}
		case named(commands, w) != nil:
			cmd = named(commands, w)
			flags, commands = cmd.Flags, cmd.Subcommands
		default:
			commands = nil
			given++
		}
	}
	word := words[len(words)-1]
	if open != nil {
		return values(open, "", dir)
	}
	if strings.HasPrefix(word, "-") {
		if name, _, ok := strings.Cut(word, "="); ok {
			if f := find(name); f != nil {
				return values(f, name+"=", dir)
			}
			return nil
		}
		return flagCandidates(flags)
	}
	var found []choice
	for _, c := range commands {
		found = append(found, choice{c.Name, c.Usage})
	}
	if cmd != nil && len(cmd.Subcommands) == 0 {
		found = arguments(cmd.Name, given, dir)
	}
	return found
}

func flagCandidates(flags []cli.Flag) []choice {
	found := []choice{{"--help", "show help"}}
	for _, f := range flags {
		if f == cli.HelpFlag {
			continue
		}
		about := ""
		if d, ok := f.(cli.DocGenerationFlag); ok {
			about, _ = splitUsage(d.GetUsage())
		}
		found = append(found, choice{"--" + f.Names()[0], about})
	}
	return found
}

// values returns the possible values of a flag, each preceded by prefix. Labels come from the
// workspace in dir.
func values(f cli.Flag, prefix, dir string) []choice {
	var found []choice
	switch f.Names()[0] {
	case "label", "to":
		found = labelsOf(dir)
	case "resize":
		found = resizeModes
		if strings.Contains(f.(*cli.StringFlag).Usage, string(imprint.AutoResize)) {
			found = autoResizeModes
		}
	case "layout":
		found = layouts
		if strings.Contains(f.(*cli.StringFlag).Usage, string(classifier.Frigate)) {
			found = exportLayouts
		}
	case "head":
		found = methods
	case "backbone":
		found = backboneNames()
	case "compiled":
		found = modelNames(models.Published.Compiled)
	case "uncompiled":
		found = modelNames(func(m models.Published) bool { return !m.Compiled() })
	case "device":
		found = deviceNames
	case "clock":
		found = clocks
	case "arithmetic":
		found = arithmetics
	case "source":
		found = sourceKinds
	}
	found = slices.Clone(found)
	for i := range found {
		found[i].value = prefix + found[i].value
	}
	return found
}

// arguments returns the candidates for a command's next argument; given is the number of arguments
// before it. Labels come from the workspace in dir.
func arguments(command string, given int, dir string) []choice {
	switch {
	case command == "pull":
		return modelNames(func(models.Published) bool { return true })
	case command == "detect" && given == 0:
		return modelNames(func(m models.Published) bool { return m.Detector() })
	case command == "completion" && given == 0:
		return shells
	case command == "rename" && given == 0:
		return labelsOf(dir)
	case command == "help" && given == 0:
		var names []choice
		for _, c := range commands() {
			names = append(names, choice{c.Name, c.Usage})
		}
		return names
	}
	return nil
}
