package main

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
)

// options are those of `runtime.options` in Pulumi.yaml that matter here.
type options struct {
	// typescript makes the SDK compile the program while it loads it. Default true, as upstream.
	typescript bool
	// tsconfig is the path of the compiler's settings, empty for the default.
	tsconfig string
	// nodeArguments go to node itself, before the program.
	nodeArguments []string
	// packageManager is npm, yarn, pnpm or bun; empty means by lock file.
	packageManager string
}

func parseOptions(settings *structpb.Struct) (options, error) {
	parsed := options{typescript: true}
	for name, value := range settings.GetFields() {
		switch name {
		case "typescript":
			flag, ok := value.GetKind().(*structpb.Value_BoolValue)
			if !ok {
				return options{}, fmt.Errorf("runtime.options.typescript in Pulumi.yaml is %v; it must be true or false", value)
			}
			parsed.typescript = flag.BoolValue
		case "tsconfig":
			text, ok := value.GetKind().(*structpb.Value_StringValue)
			if !ok {
				return options{}, fmt.Errorf("runtime.options.tsconfig in Pulumi.yaml is %v; it must be a path", value)
			}
			parsed.tsconfig = text.StringValue
		case "nodeargs":
			text, ok := value.GetKind().(*structpb.Value_StringValue)
			if !ok {
				return options{}, fmt.Errorf("runtime.options.nodeargs in Pulumi.yaml is %v; it must be text", value)
			}
			arguments, err := splitWords(text.StringValue)
			if err != nil {
				return options{}, fmt.Errorf("runtime.options.nodeargs in Pulumi.yaml: %w", err)
			}
			parsed.nodeArguments = arguments
		case "packagemanager":
			switch manager := value.GetStringValue(); manager {
			case "auto", "":
			case "npm", "yarn", "pnpm", "bun":
				parsed.packageManager = manager
			default:
				return options{}, fmt.Errorf(
					"runtime.options.packagemanager in Pulumi.yaml is %q; allowed are auto, npm, yarn, pnpm, bun", manager)
			}
		}
	}
	return parsed, nil
}

// splitWords splits at spaces, with single and double quotes and the backslash as a shell has them.
func splitWords(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	started, escaped := false, false
	for _, letter := range text {
		switch {
		case escaped:
			word.WriteRune(letter)
			escaped = false
		case letter == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0:
			if letter == quote {
				quote = 0
			} else {
				word.WriteRune(letter)
			}
		case letter == '\'' || letter == '"':
			quote, started = letter, true
		case letter == ' ' || letter == '\t' || letter == '\n':
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
		default:
			word.WriteRune(letter)
			started = true
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("%q has an open quote", text)
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}
