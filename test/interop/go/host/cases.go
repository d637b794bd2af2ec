package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"muxplug/interop/echo"
	"muxplug/interop/gen/echov1"
)

// cases is everything that a host and a plugin can do with each other. Each has a plugin of its own.
var cases = []struct {
	name string
	run  func(context.Context, *session) error
}{
	{"ping", func(_ context.Context, s *session) error { return s.connection.Ping() }},
	{"unary", unary},
	{"status", failing},
	{"server stream", repeat},
	{"client stream", collect},
	{"bidirectional stream", chat},
	{"deadline", deadline},
	{"cancellation", cancellation},
	{"plugin calls host", func(ctx context.Context, s *session) error { return callBack(ctx, s) }},
	{"host calls brokered service", brokered},
	{"many broker dials", manyDials},
	{"transport security", security},
	{"stdout and stderr", stdio},
	{"logs", logs},
	{"crash", crash},
	{"shutdown", shutdown},
}

var mebibyte = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)

// differ is nil when got is what was wanted.
func differ[T comparable](what string, got, want T) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s: got %v, want %v", what, got, want)
}

func unary(ctx context.Context, s *session) error {
	for _, payload := range [][]byte{nil, []byte("few"), mebibyte} {
		answer, err := s.EchoClient.Echo(ctx, &echov1.EchoRequest{Text: "päck", Payload: payload})
		if err != nil {
			return err
		}
		if answer.Text != "päck" || !bytes.Equal(answer.Payload, payload) {
			return fmt.Errorf("sent %d bytes, got %q and %d bytes", len(payload), answer.Text, len(answer.Payload))
		}
	}
	return nil
}

func failing(ctx context.Context, s *session) error {
	_, err := s.Fail(ctx, &echov1.FailRequest{Code: uint32(codes.NotFound), Details: "nichts da: ä"})
	return errors.Join(
		differ("code", status.Code(err), codes.NotFound),
		differ("details", status.Convert(err).Message(), "nichts da: ä"),
	)
}

func repeat(ctx context.Context, s *session) error {
	const count = 20
	answers, err := s.Repeat(ctx, &echov1.RepeatRequest{Text: "again", Count: count, Payload: mebibyte})
	if err != nil {
		return err
	}
	for index := uint32(0); ; index++ {
		answer, err := answers.Recv()
		if errors.Is(err, io.EOF) {
			return differ("answers", index, count)
		}
		if err != nil {
			return err
		}
		if answer.Index != index || !bytes.Equal(answer.Payload, mebibyte) {
			return fmt.Errorf("answer %d is number %d with %d bytes", index, answer.Index, len(answer.Payload))
		}
	}
}

func collect(ctx context.Context, s *session) error {
	requests, err := s.Collect(ctx)
	if err != nil {
		return err
	}
	for _, text := range []string{"a", "b", "c"} {
		if err := requests.Send(&echov1.EchoRequest{Text: text, Payload: []byte(text)}); err != nil {
			return err
		}
	}
	answer, err := requests.CloseAndRecv()
	if err != nil {
		return err
	}
	return differ("text", answer.Text, "abc")
}

func chat(ctx context.Context, s *session) error {
	messages, err := s.Chat(ctx)
	if err != nil {
		return err
	}
	for index := range uint32(100) {
		if err := messages.Send(&echov1.EchoRequest{Text: "ball"}); err != nil {
			return err
		}
		answer, err := messages.Recv()
		if err != nil {
			return err
		}
		if err := differ("index", answer.Index, index); err != nil {
			return err
		}
	}
	if err := messages.CloseSend(); err != nil {
		return err
	}
	if _, err = messages.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last message: %w", err)
	}
	return nil
}

func deadline(ctx context.Context, s *session) error {
	short, cancel := context.WithTimeout(ctx, 50e6)
	defer cancel()
	_, err := s.Sleep(short, &echov1.SleepRequest{Ms: 60_000})
	return differ("code", status.Code(err), codes.DeadlineExceeded)
}

// cancellation also waits until the plugin has seen it.
func cancellation(ctx context.Context, s *session) error {
	cancelled, cancel := context.WithCancel(ctx)
	done := make(chan error)
	go func() {
		_, err := s.EchoClient.Echo(cancelled, &echov1.EchoRequest{Text: "hang"})
		done <- err
	}()
	// The plugin answers another call, so the first is there.
	if _, err := s.EchoClient.Echo(ctx, &echov1.EchoRequest{Text: "other"}); err != nil {
		cancel()
		return err
	}
	cancel()
	return errors.Join(
		differ("code", status.Code(<-done), codes.Canceled),
		s.stderr.line(ctx, "cancelled\n"),
		s.connection.Ping(),
	)
}

// callBack lets the plugin call a service of this host.
func callBack(ctx context.Context, s *session) error {
	id := s.Broker.Serve(func(options []grpc.ServerOption) *grpc.Server {
		return echo.NewServer(&echo.Server{Say: "host: "}, options...)
	})
	answer, err := s.EchoClient.Echo(ctx, &echov1.EchoRequest{
		Text:    "call-back",
		Payload: binary.BigEndian.AppendUint32(nil, id),
	})
	if err != nil {
		return fmt.Errorf("broker ID %d: %w", id, err)
	}
	return differ("text", answer.Text, "host: called back")
}

// dialBrokered asks the plugin for a service under a fresh ID, and dials it.
func dialBrokered(ctx context.Context, s *session) (*grpc.ClientConn, error) {
	answer, err := s.EchoClient.Echo(ctx, &echov1.EchoRequest{Text: "serve"})
	if err != nil {
		return nil, err
	}
	id, err := strconv.ParseUint(answer.Text, 10, 32)
	if err != nil {
		return nil, err
	}
	return s.Broker.Dial(uint32(id))
}

func brokered(ctx context.Context, s *session) error {
	connection, err := dialBrokered(ctx, s)
	if err != nil {
		return err
	}
	defer connection.Close()
	for range 3 {
		answer, err := echov1.NewEchoClient(connection).Echo(ctx, &echov1.EchoRequest{Text: "hello"})
		if err != nil {
			return err
		}
		if err := differ("text", answer.Text, "brokered hello"); err != nil {
			return err
		}
	}
	return nil
}

// manyDials lets half of the dials come from each side: at once where each has a socket, one after the other where
// they share one, because go-plugin pairs those by their order.
func manyDials(ctx context.Context, s *session) error {
	atOnce := *dials
	if *mux {
		atOnce = 1
	}
	slots := make(chan struct{}, atOnce)
	failures := make([]error, *dials)
	var all sync.WaitGroup
	for i := range *dials {
		all.Add(1)
		slots <- struct{}{}
		go func() {
			defer all.Done()
			defer func() { <-slots }()
			if i%2 == 0 {
				failures[i] = callBack(ctx, s)
			} else {
				failures[i] = brokered(ctx, s)
			}
		}()
	}
	all.Wait()
	return errors.Join(failures...)
}

// security looks at all three kinds of connection: the main one, and the broker's both ways.
func security(ctx context.Context, s *session) error {
	connection, err := dialBrokered(ctx, s)
	if err != nil {
		return err
	}
	defer connection.Close()
	var main, ours, theirs peer.Peer
	id := s.Broker.Serve(func(options []grpc.ServerOption) *grpc.Server {
		return echo.NewServer(&echo.Server{}, append(options, grpc.UnaryInterceptor(
			func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				if caller, ok := peer.FromContext(ctx); ok {
					theirs = *caller
				}
				return next(ctx, request)
			}))...)
	})
	request := &echov1.EchoRequest{Text: "call-back", Payload: binary.BigEndian.AppendUint32(nil, id)}
	if _, err := s.EchoClient.Echo(ctx, request, grpc.Peer(&main)); err != nil {
		return err
	}
	hello := &echov1.EchoRequest{Text: "hello"}
	if _, err := echov1.NewEchoClient(connection).Echo(ctx, hello, grpc.Peer(&ours)); err != nil {
		return err
	}
	return errors.Join(
		differ("main connection has TLS", hasTLS(main), *mtls),
		differ("connection dialled by the host has TLS", hasTLS(ours), *mtls),
		differ("connection dialled by the plugin has TLS", hasTLS(theirs), *mtls),
	)
}

func hasTLS(p peer.Peer) bool {
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	return ok && len(info.State.PeerCertificates) == 1
}

func stdio(ctx context.Context, s *session) error {
	const lines = 100
	for i := range lines {
		request := &echov1.EchoRequest{Text: "print", Payload: []byte(strconv.Itoa(i))}
		if _, err := s.EchoClient.Echo(ctx, request); err != nil {
			return err
		}
	}
	if err := errors.Join(
		s.stdout.line(ctx, fmt.Sprintf("out %d\n", lines-1)),
		s.stderr.line(ctx, fmt.Sprintf("err %d\n", lines-1)),
	); err != nil {
		return err
	}
	var stdout, stderr strings.Builder
	for i := range lines {
		fmt.Fprintf(&stdout, "out %d\n", i)
		fmt.Fprintf(&stderr, "err %d\n", i)
	}
	return errors.Join(
		differ("stdout", s.stdout.String(), stdout.String()),
		differ("stderr", s.stderr.String(), stderr.String()),
	)
}

func logs(ctx context.Context, s *session) error {
	request := &echov1.EchoRequest{Text: "log", Payload: []byte("mind the gap")}
	if _, err := s.EchoClient.Echo(ctx, request); err != nil {
		return err
	}
	return s.log.line(ctx, `"@message":"mind the gap"`, `"@level":"warn"`, `"answer":42`)
}

func crash(ctx context.Context, s *session) error {
	_, err := s.EchoClient.Echo(ctx, &echov1.EchoRequest{Text: "crash"})
	return errors.Join(
		differ("code", status.Code(err), codes.Unavailable),
		s.log.line(ctx, "boom in the plugin", `"@level":"error"`),
		s.log.line(ctx, "plugin process exited"),
		differ("ping fails", s.connection.Ping() != nil, true),
	)
}

// shutdown expects the plugin to leave by itself when asked.
func shutdown(ctx context.Context, s *session) error {
	if err := s.connection.Ping(); err != nil {
		return err
	}
	s.client.Kill()
	return errors.Join(
		differ("exited", s.client.Exited(), true),
		differ("killed", strings.Contains(s.log.String(), "failed to exit gracefully"), false),
		s.log.line(ctx, "plugin process exited"),
	)
}
