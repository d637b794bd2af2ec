// Command host is an ordinary go-plugin host. It launches the plugin whose command is its arguments, tries everything
// that the two can do, and prints one JSON object for each case: {"case":"unary","ok":true,"error":""}. With -reattach
// it takes a plugin that runs already, and with -stay it only launches one, says how to reattach to it, and waits to be
// killed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"muxplug/interop/shared"
)

var (
	mux     = flag.Bool("mux", false, "multiplex the broker's connections on the plugin's socket")
	mtls    = flag.Bool("mtls", false, "AutoMTLS")
	dials   = flag.Int("dials", 200, "how many broker dials are made")
	only    = flag.String("case", "", "run only this case")
	timeout = flag.Duration("timeout", 20*time.Second, "limit of one case")
	running = flag.String("reattach", "", "use the running plugin that this JSON describes")
	stay    = flag.Bool("stay", false, "launch the plugin, print how to reattach to it, and wait")
)

// result is what is printed for one case.
type result struct {
	Case  string `json:"case"`
	OK    bool   `json:"ok"`
	Error string `json:"error"`
}

func main() {
	flag.Parse()
	if (flag.NArg() == 0) == (*running == "") {
		fmt.Fprintln(os.Stderr, "usage: host [flags] PLUGIN [ARGUMENT...], or host -reattach=JSON [flags]")
		os.Exit(2)
	}
	if *stay {
		*timeout = time.Hour
		if err := run(remain); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	failed := false
	for _, c := range cases {
		if *only != "" && *only != c.name {
			continue
		}
		outcome := result{Case: c.name, OK: true}
		if err := run(c.run); err != nil {
			outcome.OK, outcome.Error, failed = false, err.Error(), true
		}
		json.NewEncoder(os.Stdout).Encode(outcome)
	}
	if failed {
		os.Exit(1)
	}
}

// session is one plugin that was launched for one case, with all that it says.
type session struct {
	*shared.Echo
	client         *plugin.Client
	connection     plugin.ClientProtocol
	stdout, stderr *watched // what was printed in the plugin
	log            *watched // the host's log, with the plugin's in it, as lines of JSON
}

// run launches a plugin for one case, and ends it.
func run(test func(context.Context, *session) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	s := &session{stdout: newWatched(), stderr: newWatched(), log: newWatched()}
	config := &plugin.ClientConfig{
		HandshakeConfig:     shared.Handshake,
		Plugins:             plugin.PluginSet{"echo": &shared.EchoPlugin{}},
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:            *mtls,
		GRPCBrokerMultiplex: *mux,
		SyncStdout:          s.stdout,
		SyncStderr:          s.stderr,
		Logger:              hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: s.log, JSONFormat: true}),
		GRPCDialOptions:     []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64 << 20))},
	}
	var err error
	if *running != "" {
		if config.Reattach, err = shared.ParseReattach(*running); err != nil {
			return fmt.Errorf("-reattach: %w", err)
		}
	} else {
		config.Cmd = exec.Command(flag.Arg(0), flag.Args()[1:]...)
	}
	s.client = plugin.NewClient(config)
	defer s.client.Kill()
	if s.connection, err = s.client.Client(); err != nil {
		return fmt.Errorf("launch: %w", err)
	}
	raw, err := s.connection.Dispense("echo")
	if err != nil {
		return fmt.Errorf("dispense: %w", err)
	}
	s.Echo = raw.(*shared.Echo)
	done := make(chan error, 1)
	go func() { done <- test(ctx, s) }()
	select {
	case err := <-done:
		return err
	case <-time.After(*timeout + time.Second):
		return errors.New("the case hangs")
	}
}

// remain is for those who want a plugin with a host: to reattach to, or to kill the host.
func remain(_ context.Context, s *session) error {
	if err := s.connection.Ping(); err != nil {
		return err
	}
	fmt.Println(shared.FormatReattach(s.client.ReattachConfig()))
	select {}
}
