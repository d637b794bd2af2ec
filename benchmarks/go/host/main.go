// Command host is the host of the rows go-per-dial and go-mux. It measures one case, which its last argument describes in
// JSON, and prints the metrics in JSON, as host.ts does for the other rows.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/hashicorp/go-plugin"
)

var (
	mux        = flag.Bool("mux", false, "multiplex the broker's connections on the plugin's socket")
	pluginPath = flag.String("plugin", "", "the plugin")
	nodePath   = flag.String("node", "node", "the node of the empty process")
)

func main() {
	flag.Parse()
	var asked cell
	if err := json.Unmarshal([]byte(flag.Arg(0)), &asked); err != nil {
		fmt.Fprintln(os.Stderr, "the argument is no cell:", err)
		os.Exit(2)
	}
	// Whoever asked holds the other end: without him nothing is to go on.
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		plugin.CleanupClients()
		os.Exit(1)
	}()
	found, err := measure(asked)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}

func measure(asked cell) (metrics, error) {
	if asked.Case == "cold-start" {
		return coldStart(asked)
	}
	do, known := measures[asked.Case]
	if !known {
		return nil, fmt.Errorf("there is no case %q here", asked.Case)
	}
	l, err := open()
	if err != nil {
		return nil, err
	}
	defer l.close()
	return do(l, asked)
}
