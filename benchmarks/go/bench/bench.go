// Package bench is the service that the rows of the benchmarks call, the same as in ends/service.ts: messages are bytes as they
// are, and chunks tell their place among their neighbours.
package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"syscall"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
)

var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "BENCH_PLUGIN",
	MagicCookieValue: "bench",
}

// MaxMessage is above go-plugin's and gRPC's own 4 MiB, as on the other rows.
const MaxMessage = 64 << 20

const ChunkBytes = 64 << 10

var chunks = func() (made [16][]byte) {
	for mark := range made {
		made[mark] = bytes.Repeat([]byte{byte(mark + 1)}, ChunkBytes)
	}
	return
}()

// Chunk is number index of a transfer.
func Chunk(index uint32) []byte { return chunks[index%16] }

// CheckChunk fails unless data is chunk number index, going by its length and both of its ends.
func CheckChunk(data []byte, index uint32) error {
	mark := byte(index%16 + 1)
	if len(data) == ChunkBytes && data[0] == mark && data[ChunkBytes-1] == mark {
		return nil
	}
	return fmt.Errorf("chunk %d is wrong: %d bytes", index, len(data))
}

// codec takes messages that are bytes as they are, and leaves go-plugin's own to protobuf.
type codec struct{ encoding.CodecV2 }

func (c codec) Marshal(message any) (mem.BufferSlice, error) {
	if data, ok := message.(*[]byte); ok {
		return mem.BufferSlice{mem.SliceBuffer(*data)}, nil
	}
	return c.CodecV2.Marshal(message)
}

func (c codec) Unmarshal(data mem.BufferSlice, message any) error {
	if into, ok := message.(*[]byte); ok {
		*into = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, message)
}

var messages = codec{encoding.GetCodecV2(proto.Name)}

// Usage is what one process has used.
type Usage struct {
	CPUSeconds float64 `json:"cpuSeconds"`
	RSSBytes   float64 `json:"rssBytes"`
	HeapBytes  float64 `json:"heapBytes"`
	FDs        float64 `json:"fds"`
}

// OwnUsage is the usage of the process that asks. Memory and descriptors are Linux's to tell.
func OwnUsage() Usage {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var size, resident float64
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		_, _ = fmt.Sscan(string(text), &size, &resident)
	}
	open, _ := os.ReadDir("/proc/self/fd")
	seconds := func(t syscall.Timeval) float64 { return float64(t.Sec) + float64(t.Usec)/1e6 }
	return Usage{
		CPUSeconds: seconds(used.Utime) + seconds(used.Stime),
		RSSBytes:   resident * float64(os.Getpagesize()),
		HeapBytes:  float64(memory.HeapAlloc),
		// One of them is the directory that was being read.
		FDs: float64(max(0, len(open)-1)),
	}
}

// Service answers the calls. Only the plugin's has a broker.
type Service struct {
	Broker *plugin.GRPCBroker
	mutex  sync.Mutex
	kept   map[uint32]*grpc.ClientConn
}

func (s *Service) unary(ctx context.Context, method string, request []byte) ([]byte, error) {
	switch method {
	case "Echo":
		return request, nil
	case "Usage":
		return json.Marshal(OwnUsage())
	}
	if s.Broker == nil || len(request) < 4 {
		return nil, errors.New("nobody can be called back")
	}
	id, payload := binary.BigEndian.Uint32(request), request[4:]
	if method == "Visit" {
		connection, err := s.dial(id)
		if err != nil {
			return nil, err
		}
		defer connection.Close()
		return Call(ctx, connection, "Echo", payload)
	}
	connection, err := s.keep(id)
	if err != nil {
		return nil, err
	}
	return Call(ctx, connection, "Echo", payload)
}

func (s *Service) dial(id uint32) (*grpc.ClientConn, error) {
	return s.Broker.DialWithOptions(id, CallOptions())
}

// keep dials an ID once, for all calls to it.
func (s *Service) keep(id uint32) (*grpc.ClientConn, error) {
	s.mutex.Lock()
	connection := s.kept[id]
	s.mutex.Unlock()
	if connection != nil {
		return connection, nil
	}
	connection, err := s.dial(id)
	if err != nil {
		return nil, err
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.kept == nil {
		s.kept = map[uint32]*grpc.ClientConn{}
	}
	s.kept[id] = connection
	return connection, nil
}

// CallOptions make a client take messages that are bytes.
func CallOptions() grpc.DialOption {
	return grpc.WithDefaultCallOptions(grpc.ForceCodecV2(messages), grpc.MaxCallRecvMsgSize(MaxMessage))
}

// NewServer is a gRPC server with the service.
func NewServer(service *Service, options []grpc.ServerOption) *grpc.Server {
	server := BareServer(options)
	server.RegisterService(&Description, service)
	return server
}

// BareServer is a gRPC server that takes messages that are bytes.
func BareServer(options []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(options, grpc.ForceServerCodecV2(messages), grpc.MaxRecvMsgSize(MaxMessage))...)
}

// Call makes one unary call, of parts that are joined.
func Call(ctx context.Context, connection *grpc.ClientConn, method string, parts ...[]byte) ([]byte, error) {
	var request, answer []byte
	if len(parts) == 1 {
		request = parts[0]
	} else {
		request = bytes.Join(parts, nil)
	}
	err := connection.Invoke(ctx, "/bench.Bench/"+method, &request, &answer)
	return answer, err
}

// Description is the service as generated code would describe it.
var Description = grpc.ServiceDesc{
	ServiceName: "bench.Bench",
	HandlerType: (*any)(nil),
	Methods:     methods("Echo", "CallBack", "Visit", "Usage"),
	Streams: []grpc.StreamDesc{
		{StreamName: "Down", Handler: down, ServerStreams: true},
		{StreamName: "Up", Handler: up, ClientStreams: true},
		{StreamName: "Both", Handler: both, ServerStreams: true, ClientStreams: true},
	},
}

func methods(names ...string) []grpc.MethodDesc {
	var described []grpc.MethodDesc
	for _, name := range names {
		described = append(described, grpc.MethodDesc{
			MethodName: name,
			Handler: func(
				service any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor,
			) (any, error) {
				var request []byte
				if err := decode(&request); err != nil {
					return nil, err
				}
				answer, err := service.(*Service).unary(ctx, name, request)
				return &answer, err
			},
		})
	}
	return described
}

func down(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	for index := range binary.BigEndian.Uint32(request) {
		chunk := Chunk(index)
		if err := stream.SendMsg(&chunk); err != nil {
			return err
		}
	}
	return nil
}

func up(_ any, stream grpc.ServerStream) error {
	var count, length uint32
	for {
		var data []byte
		err := stream.RecvMsg(&data)
		if errors.Is(err, io.EOF) {
			answer := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, count), length)
			return stream.SendMsg(&answer)
		}
		if err != nil {
			return err
		}
		count++
		length += uint32(len(data))
	}
}

func both(_ any, stream grpc.ServerStream) error {
	for {
		var data []byte
		err := stream.RecvMsg(&data)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.SendMsg(&data); err != nil {
			return err
		}
	}
}

// Plugin serves the service in the plugin, and is dispensed as *Peer in the host.
type Plugin struct{ plugin.NetRPCUnsupportedPlugin }

// Peer is the plugin as the host holds it.
type Peer struct {
	Connection *grpc.ClientConn
	Broker     *plugin.GRPCBroker
}

func (*Plugin) GRPCServer(broker *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&Description, &Service{Broker: broker})
	return nil
}

func (*Plugin) GRPCClient(
	_ context.Context, broker *plugin.GRPCBroker, connection *grpc.ClientConn,
) (any, error) {
	return &Peer{connection, broker}, nil
}
