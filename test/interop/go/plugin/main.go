// Command plugin is an ordinary go-plugin plugin: gRPC, whatever its host asks for.
package main

import (
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"muxplug/interop/shared"
)

func main() {
	logger := hclog.New(&hclog.LoggerOptions{Name: "echo", Level: hclog.Trace, JSONFormat: true})
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: shared.Handshake,
		Plugins: plugin.PluginSet{
			"echo": &shared.EchoPlugin{
				Log: func(message string) { logger.Warn(message, "answer", 42) },
			},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     logger,
	})
}
