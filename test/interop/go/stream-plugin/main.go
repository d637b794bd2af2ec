// Command stream-plugin is a plugin on muxplug's transport `stream`, made of yamux and grpc-go alone. What it serves is
// in package echo; here is all of the protocol, by the sections of docs/protocol.md.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"muxplug/interop/echo"
	"muxplug/interop/gen/goplugin"
)

func main() {
	// 1. Start.
	log.SetFlags(0)
	if os.Getenv("ECHO_PLUGIN") != "echo" {
		log.Fatal(`{"@level":"error","@message":"the cookie is missing","code":"ERR_HANDSHAKE_COOKIE"}`)
	}
	stream, form := io.ReadWriteCloser(os.NewFile(3, "stream")), "fd|3"
	if os.Getenv("PLUGIN_STREAM") == "stdio" {
		stream, form = stdio{os.Stdin, os.Stdout}, "stdio|-"
		os.Stdout = os.Stderr // what is printed must not get between the frames
	}
	broker := &broker{stop: make(chan os.Signal, 1)}
	signal.Notify(broker.stop, syscall.SIGTERM)
	signal.Ignore(syscall.SIGINT)

	// 2. The handshake line, with the only version this plugin has, and 3. the session right behind it.
	if _, err := fmt.Fprintf(stream, "1|1|%s|grpc|||h2\n", form); err != nil {
		log.Fatalf("no stream where PLUGIN_STREAM should name it: %v", err)
	}
	broker.session, _ = yamux.Server(stream, nil) // fails only for a bad configuration

	// 5. The standing services on ID 0; NewServer has added the health service.
	server := echo.NewServer(&echo.Server{Broker: broker, Ping: broker.session.Ping})
	goplugin.RegisterGRPCControllerServer(server, broker)
	go server.Serve(broker.listener(0))

	// 7. The end: in order when asked to, at once when the stream is gone.
	go func() {
		<-broker.stop
		time.AfterFunc(time.Second, server.Stop)
		server.GracefulStop()
		os.Exit(0)
	}()
	for substream, err := broker.session.Accept(); err == nil; substream, err = broker.session.Accept() {
		go broker.route(substream)
	}
	server.Stop()
}

// stdio is standard input and output as one stream.
type stdio struct {
	io.ReadCloser
	io.Writer
}

// broker is section 4: it joins IDs to servers of this side, and calls of this side to IDs of the host.
type broker struct {
	goplugin.UnimplementedGRPCControllerServer
	stop      chan os.Signal
	session   *yamux.Session
	lastID    atomic.Uint32
	listeners sync.Map // by ID; made by the accept or the dial, whichever is first
}

func (b *broker) Shutdown(context.Context, *goplugin.Empty) (*goplugin.Empty, error) {
	b.stop <- syscall.SIGTERM
	return &goplugin.Empty{}, nil
}

// route reads the preamble and hands the substream to the listener of its ID, or refuses it.
func (b *broker) route(substream net.Conn) {
	preamble := make([]byte, 5)
	substream.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := io.ReadFull(substream, preamble)
	substream.SetReadDeadline(time.Time{})
	refusal := byte(4) // not HTTP/2
	if err == nil && preamble[0] == 1 {
		select {
		case b.listener(binary.BigEndian.Uint32(preamble[1:])).dialled <- substream:
			return
		case <-time.After(5 * time.Second):
			refusal = 1 // nothing accepts this ID
		}
	}
	substream.Write([]byte{refusal})
	substream.Close()
}

// listener gives the substreams of one ID to a gRPC server.
type listener struct{ dialled, closed chan net.Conn }

func (b *broker) listener(id uint32) *listener {
	made, _ := b.listeners.LoadOrStore(id, &listener{make(chan net.Conn), make(chan net.Conn)})
	return made.(*listener)
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case substream := <-l.dialled:
		substream.Write([]byte{0})
		return substream, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error   { close(l.closed); return nil }
func (l *listener) Addr() net.Addr { return &net.UnixAddr{} }

// Serve offers a server under a fresh ID.
func (b *broker) Serve(newServer echo.NewServerFunc) uint32 {
	id := b.lastID.Add(1)
	go newServer(nil).Serve(b.listener(id))
	return id
}

// Dial connects to what the host serves under id, when first used.
func (b *broker) Dial(id uint32) (*grpc.ClientConn, error) {
	open := func(context.Context, string) (net.Conn, error) {
		substream, err := b.session.Open()
		if err != nil {
			return nil, err
		}
		substream.Write(binary.BigEndian.AppendUint32([]byte{1}, id))
		answer := []byte{255}
		if _, err := io.ReadFull(substream, answer); err != nil || answer[0] != 0 {
			substream.Close()
			return nil, fmt.Errorf("broker ID %d: refused with %d", id, answer[0])
		}
		return substream, nil
	}
	transport := grpc.WithTransportCredentials(insecure.NewCredentials())
	return grpc.NewClient("passthrough:///host", grpc.WithContextDialer(open), transport)
}
