// Command lessor is a DHCPv4 suite in one binary; `lessor --help` shows its parts.
package main

import (
	"os"

	"lessor/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
