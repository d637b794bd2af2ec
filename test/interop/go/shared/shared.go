// Package shared is what host and plugin have in common: the handshake, and the service as go-plugin wants it.
package shared

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"muxplug/interop/echo"
	"muxplug/interop/gen/echov1"
)

var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "ECHO_PLUGIN",
	MagicCookieValue: "echo",
}

// EchoPlugin serves Echo in the plugin, and is dispensed as *Echo in the host.
type EchoPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	Log func(message string)
}

// Echo is the service as the host holds it.
type Echo struct {
	echov1.EchoClient
	Broker Broker
}

func (p *EchoPlugin) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	echov1.RegisterEchoServer(server, &echo.Server{Broker: Broker{broker}, Log: p.Log})
	return nil
}

func (p *EchoPlugin) GRPCClient(
	_ context.Context, broker *plugin.GRPCBroker, connection *grpc.ClientConn,
) (any, error) {
	return &Echo{echov1.NewEchoClient(connection), Broker{broker}}, nil
}

// Broker is go-plugin's broker, as package echo wants one.
type Broker struct{ *plugin.GRPCBroker }

// Serve returns when the ID can be dialled. A multiplexed dial does not wait for its accept: it is refused at once.
func (b Broker) Serve(newServer echo.NewServerFunc) uint32 {
	id := b.NextId()
	accepted := make(chan struct{})
	go b.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		close(accepted)
		return newServer(options)
	})
	<-accepted
	return id
}
