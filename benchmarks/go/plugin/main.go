// Command plugin is the plugin of the rows go-per-dial and go-mux.
package main

import (
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"muxplug/benchmarks/bench"
)

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: bench.Handshake,
		Plugins:         plugin.PluginSet{"bench": &bench.Plugin{}},
		GRPCServer:      bench.BareServer,
		Logger:          hclog.NewNullLogger(),
	})
}
