// Command versions is the host of the README's plugin in two versions: it launches the plugin, and prints the version that
// both speak and what the plugin answers.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/hashicorp/go-plugin"

	"muxplug/interop/gen/echov1"
	"muxplug/interop/shared"
)

func main() {
	client := plugin.NewClient(&plugin.ClientConfig{
		Cmd:             exec.Command("node", "two-versions.mjs"),
		HandshakeConfig: plugin.HandshakeConfig{MagicCookieKey: "ECHO_PLUGIN", MagicCookieValue: "hello"},
		VersionedPlugins: map[int]plugin.PluginSet{
			1: {"echo": &shared.EchoPlugin{}},
			2: {"echo": &shared.EchoPlugin{}},
		},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
	})
	err := greet(client)
	client.Kill()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func greet(client *plugin.Client) error {
	connection, err := client.Client()
	if err != nil {
		return err
	}
	raw, err := connection.Dispense("echo")
	if err != nil {
		return err
	}
	answer, err := raw.(*shared.Echo).Echo(context.Background(), &echov1.EchoRequest{Text: "hello"})
	if err != nil {
		return err
	}
	fmt.Println(client.NegotiatedVersion(), answer.GetText())
	return nil
}
