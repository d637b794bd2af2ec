package shared

import (
	"encoding/json"
	"fmt"
	"net"

	"github.com/hashicorp/go-plugin"
)

// reattach is plugin.ReattachConfig as JSON, in the form of Terraform's TF_REATTACH_PROVIDERS.
type reattach struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct{ Network, String string }
}

// FormatReattach is one line.
func FormatReattach(config *plugin.ReattachConfig) string {
	r := reattach{
		Protocol: string(config.Protocol), ProtocolVersion: config.ProtocolVersion, Pid: config.Pid, Test: config.Test,
	}
	r.Addr.Network, r.Addr.String = config.Addr.Network(), config.Addr.String()
	line, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(line)
}

func ParseReattach(text string) (*plugin.ReattachConfig, error) {
	var r reattach
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return nil, err
	}
	config := &plugin.ReattachConfig{
		Protocol: plugin.Protocol(r.Protocol), ProtocolVersion: r.ProtocolVersion, Pid: r.Pid, Test: r.Test,
	}
	var err error
	switch r.Addr.Network {
	case "unix":
		config.Addr, err = net.ResolveUnixAddr(r.Addr.Network, r.Addr.String)
	case "tcp":
		config.Addr, err = net.ResolveTCPAddr(r.Addr.Network, r.Addr.String)
	default:
		err = fmt.Errorf("unknown network %q", r.Addr.Network)
	}
	return config, err
}
