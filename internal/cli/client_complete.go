package cli

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"lessor/dhcp4"
)

// completeInterfaces completes the one argument that is an interface of this machine.
func completeInterfaces(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return interfaceNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeInterfaceFlag completes a flag that takes an interface of this machine.
func completeInterfaceFlag(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return interfaceNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeClients completes the one argument that is an interface with a client.
func completeClients(g *globals) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
		if len(args) == 0 {
			paths, _ := g.clientPaths("", "")
			for _, p := range paths {
				names = append(names, strings.TrimSuffix(filepath.Base(p), ".sock"))
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeWords completes a flag that takes one of a few words.
func completeWords(words ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)
}

// completeOptions completes the name of an option, with behind after it.
func completeOptions(behind string) cobra.CompletionFunc {
	directive := cobra.ShellCompDirectiveNoFileComp
	if behind != "" {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return func(_ *cobra.Command, _ []string, typed string) (names []string, _ cobra.ShellCompDirective) {
		for _, d := range dhcp4.All() {
			_, own := ownOptions[d.Code]
			_, never := notAskable[d.Code]
			if refused := behind == "" && never || behind != "" && own; !refused && strings.HasPrefix(d.Name, typed) {
				names = append(names, d.Name+behind)
			}
		}
		return names, directive
	}
}
