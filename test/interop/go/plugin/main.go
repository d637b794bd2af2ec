// Command plugin is an ordinary go-plugin plugin: gRPC, whatever its host asks for. With -old it does not know the
// multiplexed broker, as those built before go-plugin 1.6. With -serve it is started by hand, as by a debugger: it
// prints how to reattach to it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"muxplug/interop/shared"
)

var (
	old   = flag.Bool("old", false, "do not know the multiplexed broker")
	alone = flag.Bool("serve", false, "serve without a host, in go-plugin's test mode")
)

func main() {
	flag.Parse()
	if *old {
		os.Unsetenv("PLUGIN_MULTIPLEX_GRPC")
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "echo", Level: hclog.Trace, JSONFormat: true})
	config := &plugin.ServeConfig{
		HandshakeConfig: shared.Handshake,
		Plugins: plugin.PluginSet{
			"echo": &shared.EchoPlugin{
				Log: func(message string) { logger.Warn(message, "answer", 42) },
			},
		},
		GRPCServer: plugin.DefaultGRPCServer,
		Logger:     logger,
	}
	if *alone {
		attachable := make(chan *plugin.ReattachConfig, 1)
		config.Test = &plugin.ServeTestConfig{Context: context.Background(), ReattachConfigCh: attachable}
		go func() { fmt.Println(shared.FormatReattach(<-attachable)) }()
	}
	plugin.Serve(config)
}
