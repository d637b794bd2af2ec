// Package echo is the application of these programs: the service echo.v1.Echo, whose texts can ask for what a test
// wants to see.
package echo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"muxplug/interop/gen/echov1"
)

// Broker joins services of one process to callers in the other, by number.
type Broker interface {
	// Serve offers a server under a fresh ID, in the background.
	Serve(newServer NewServerFunc) uint32
	// Dial connects to what the other side serves.
	Dial(id uint32) (*grpc.ClientConn, error)
}

// NewServerFunc makes a server with the options that the broker wants for it.
type NewServerFunc = func(options []grpc.ServerOption) *grpc.Server

// Server is the service. Say puts a text before every answer of Echo that is nothing but an echo.
type Server struct {
	echov1.UnimplementedEchoServer
	Broker Broker
	Say    string
	// Ping asks the other side for a sign of life, for the text "ping-host".
	Ping func() (time.Duration, error)
	// Log writes a record, for the text "log".
	Log func(message string)
}

func (s *Server) Echo(ctx context.Context, request *echov1.EchoRequest) (*echov1.EchoResponse, error) {
	switch request.Text {
	case "call-back": // The payload names the ID of a service of the other side, which is called once and left.
		return s.callBack(ctx, binary.BigEndian.Uint32(request.Payload))
	case "serve":
		id := s.Broker.Serve(func(options []grpc.ServerOption) *grpc.Server {
			return NewServer(&Server{Say: "brokered "}, options...)
		})
		return &echov1.EchoResponse{Text: strconv.Itoa(int(id))}, nil
	case "hang":
		<-ctx.Done()
		fmt.Fprintln(os.Stderr, "cancelled")
		return nil, ctx.Err()
	case "exit":
		fmt.Fprintln(os.Stderr, "about to exit")
		os.Exit(3)
	case "crash":
		panic("boom in the plugin")
	case "ping-host":
		if _, err := s.Ping(); err != nil {
			return nil, err
		}
	case "print":
		fmt.Fprintf(os.Stdout, "out %s\n", request.Payload)
		fmt.Fprintf(os.Stderr, "err %s\n", request.Payload)
	case "log":
		s.Log(string(request.Payload))
	}
	return &echov1.EchoResponse{Text: s.Say + request.Text, Payload: request.Payload}, nil
}

func (s *Server) callBack(ctx context.Context, id uint32) (*echov1.EchoResponse, error) {
	connection, err := s.Broker.Dial(id)
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	return echov1.NewEchoClient(connection).Echo(ctx, &echov1.EchoRequest{Text: "called back"})
}

func (s *Server) Repeat(
	request *echov1.RepeatRequest, answers grpc.ServerStreamingServer[echov1.EchoResponse],
) error {
	for index := range request.Count {
		answer := &echov1.EchoResponse{Text: request.Text, Payload: request.Payload, Index: index}
		if err := answers.Send(answer); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) Collect(
	requests grpc.ClientStreamingServer[echov1.EchoRequest, echov1.CollectResponse],
) error {
	var text strings.Builder
	var answer echov1.CollectResponse
	for {
		request, err := requests.Recv()
		if errors.Is(err, io.EOF) {
			answer.Text = text.String()
			return requests.SendAndClose(&answer)
		}
		if err != nil {
			return err
		}
		text.WriteString(request.Text)
		answer.Payload = append(answer.Payload, request.Payload...)
		answer.Count++
	}
}

func (s *Server) Chat(messages grpc.BidiStreamingServer[echov1.EchoRequest, echov1.EchoResponse]) error {
	for index := uint32(0); ; index++ {
		request, err := messages.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := &echov1.EchoResponse{Text: request.Text, Payload: request.Payload, Index: index}
		if err := messages.Send(answer); err != nil {
			return err
		}
	}
}

func (s *Server) Sleep(ctx context.Context, request *echov1.SleepRequest) (*echov1.SleepResponse, error) {
	select {
	case <-time.After(time.Duration(request.Ms) * time.Millisecond):
		return &echov1.SleepResponse{}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *Server) Fail(_ context.Context, request *echov1.FailRequest) (*echov1.FailResponse, error) {
	return nil, status.Error(codes.Code(request.Code), request.Details)
}

// NewServer is a gRPC server with the service, and with the health service that says so.
func NewServer(service *Server, options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(append(options, grpc.MaxRecvMsgSize(64<<20))...)
	echov1.RegisterEchoServer(server, service)
	serving := health.NewServer()
	serving.SetServingStatus("plugin", grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(server, serving)
	return server
}
