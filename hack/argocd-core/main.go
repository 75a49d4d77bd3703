// Argocd-core is the part of Argo CD that syncs, in one binary: its controller, its repo server, its API server for
// resource actions, and a Redis in memory. Only the opt-in end-to-end test runs it.
package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	server "github.com/argoproj/argo-cd/v3/cmd/argocd-server/commands"
	"github.com/spf13/cobra"
)

// programs maps the first argument to what it runs with the others.
var programs = map[string]func() *cobra.Command{
	"application-controller": controller.NewCommand,
	"redis":                  newRedis,
	"repo-server":            reposerver.NewCommand,
	"server":                 server.NewCommand,
}

// newRedis returns a command that serves Redis at an address until it is stopped.
func newRedis() *cobra.Command {
	return &cobra.Command{
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			store := miniredis.NewMiniRedis()
			if err := store.StartAddr(arguments[0]); err != nil {
				return err
			}
			for range time.Tick(time.Second) {
				store.FastForward(time.Second) // its clock stands still otherwise, and nothing ever expires
			}
			return nil
		},
	}
}

func main() {
	if len(os.Args) > 1 {
		if program, known := programs[os.Args[1]]; known {
			command := program()
			command.SetArgs(os.Args[2:])
			if command.Execute() != nil {
				os.Exit(1)
			}
			return
		}
	}
	fmt.Fprintf(os.Stderr, "argocd-core: name a program: %s\n", strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
	os.Exit(2)
}
