package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"muxplug/benchmarks/bench"
)

// link is a plugin process that runs, as in link.ts.
type link struct {
	*bench.Peer
	client     *plugin.Client
	callerOnce sync.Once
	caller     uint32
}

func open() (*link, error) {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:     bench.Handshake,
		Plugins:             plugin.PluginSet{"bench": &bench.Plugin{}},
		Cmd:                 exec.Command(*pluginPath),
		AllowedProtocols:    []plugin.Protocol{plugin.ProtocolGRPC},
		GRPCBrokerMultiplex: *mux,
		GRPCDialOptions:     []grpc.DialOption{bench.CallOptions()},
		Logger:              hclog.NewNullLogger(),
		Managed:             true,
	})
	connection, err := client.Client()
	if err != nil {
		return nil, err
	}
	peer, err := connection.Dispense("bench")
	if err != nil {
		return nil, err
	}
	return &link{Peer: peer.(*bench.Peer), client: client}, nil
}

func (l *link) close() { l.client.Kill() }

// operation has a payload that the answer has to repeat.
type operation func(payload []byte) ([]byte, error)

func (l *link) call(payload []byte) ([]byte, error) {
	return bench.Call(context.Background(), l.Connection, "Echo", payload)
}

func (l *link) callback(payload []byte) ([]byte, error) {
	l.callerOnce.Do(func() { l.caller, _ = l.serve() })
	return l.callBack(l.caller, payload)
}

func (l *link) keep(payload []byte) ([]byte, error) {
	id, _ := l.serve()
	return l.callBack(id, payload)
}

func (l *link) dial(payload []byte) ([]byte, error) {
	id, server := l.serve()
	defer server.Stop()
	return bench.Call(context.Background(), l.Connection, "Visit", binary.BigEndian.AppendUint32(nil, id), payload)
}

func (l *link) callBack(id uint32, payload []byte) ([]byte, error) {
	return bench.Call(context.Background(), l.Connection, "CallBack", binary.BigEndian.AppendUint32(nil, id), payload)
}

// serve returns when the ID can be dialled. A multiplexed dial does not wait for its accept: it is refused at once.
func (l *link) serve() (uint32, *grpc.Server) {
	id := l.Broker.NextId()
	made := make(chan *grpc.Server)
	go l.Broker.AcceptAndServe(id, func(options []grpc.ServerOption) *grpc.Server {
		server := bench.NewServer(&bench.Service{}, options)
		made <- server
		return server
	})
	return id, <-made
}

func (l *link) usage() (usage bench.Usage, err error) {
	answer, err := bench.Call(context.Background(), l.Connection, "Usage")
	if err == nil {
		err = json.Unmarshal(answer, &usage)
	}
	return usage, err
}

// transferChunks is how many chunks one transfer has.
const transferChunks = 128

// transfer sends or receives chunks, or both, and checks them. received counts those that have come, if there is one.
func (l *link) transfer(direction string, received *atomic.Int64) error {
	description := map[string]grpc.StreamDesc{
		"Down": {ServerStreams: true},
		"Up":   {ClientStreams: true},
		"Both": {ServerStreams: true, ClientStreams: true},
	}[direction]
	stream, err := l.Connection.NewStream(context.Background(), &description, "/bench.Bench/"+direction)
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- send(stream, direction) }()
	if direction == "Up" {
		err = receiveCount(stream)
	} else {
		err = receiveChunks(stream, received)
	}
	return errors.Join(err, <-sent)
}

func send(stream grpc.ClientStream, direction string) error {
	if direction == "Down" {
		request := binary.BigEndian.AppendUint32(nil, transferChunks)
		if err := stream.SendMsg(&request); err != nil {
			return err
		}
		return stream.CloseSend()
	}
	for index := range uint32(transferChunks) {
		chunk := bench.Chunk(index)
		if err := stream.SendMsg(&chunk); err != nil {
			return err
		}
	}
	return stream.CloseSend()
}

func receiveCount(stream grpc.ClientStream) error {
	var answer []byte
	if err := stream.RecvMsg(&answer); err != nil {
		return err
	}
	want := binary.BigEndian.AppendUint32(nil, transferChunks)
	want = binary.BigEndian.AppendUint32(want, transferChunks*bench.ChunkBytes)
	if !bytes.Equal(answer, want) {
		return fmt.Errorf("not all chunks came: %x", answer)
	}
	return nil
}

func receiveChunks(stream grpc.ClientStream, received *atomic.Int64) error {
	for index := uint32(0); ; index++ {
		var data []byte
		err := stream.RecvMsg(&data)
		if errors.Is(err, io.EOF) && index == transferChunks {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d chunks: %w", index, err)
		}
		if err := bench.CheckChunk(data, index); err != nil {
			return err
		}
		if received != nil {
			received.Add(1)
		}
	}
}
