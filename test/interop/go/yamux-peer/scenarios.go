package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// scenarios are what the argument can name. They accept streams themselves where it matters how.
var scenarios = map[string]func(*peer) error{
	"echo":         func(*peer) error { return nil },
	"send":         send,
	"flood":        flood,
	"sink":         sink,
	"backlog":      backlog,
	"quiet-open":   quietOpen,
	"leave-open":   leaveOpen,
	"finish-first": finishFirst,
	"finish-last":  finishLast,
	"half-closed":  halfClosed,
	"reset":        reset,
	"go-away":      goAway,
	"told-to-go":   toldToGo,
	"leave":        leave,
	"ping":         ping,
	"keep-alive":   func(p *peer) error { return countPings(p, pingAsked) },
	"answer-pings": func(p *peer) error { return countPings(p, pingReply) },
	"tls-server":   tlsServer,
	"tls-client":   tlsClient,
}

// transfer is what went one way.
type transfer struct {
	Bytes  int64  `json:"bytes"`
	Sha256 string `json:"sha256"`
}

func transferred(bytes int64, digest hash.Hash) transfer {
	return transfer{bytes, hex.EncodeToString(digest.Sum(nil))}
}

// write sends bytes that nobody can guess.
func write(to io.Writer, bytes int) (transfer, error) {
	digest := sha256.New()
	sent, err := io.CopyN(io.MultiWriter(to, digest), rand.Reader, int64(bytes))
	return transferred(sent, digest), err
}

// writeAll sends so many bytes, ends the stream and says what was sent. What it writes to may count on the way to the stream.
func writeAll(p *peer, to io.Writer, stream io.Closer, bytes int) error {
	sent, err := write(to, bytes)
	if err = errors.Join(err, stream.Close()); err != nil {
		return err
	}
	p.say("sent", sent)
	return nil
}

// read takes all until the end.
func read(from io.Reader) (transfer, error) {
	digest := sha256.New()
	received, err := io.Copy(digest, from)
	return transferred(received, digest), err
}

// echoAll sends back what comes on each stream until its end, and then ends it too.
func (p *peer) echoAll() {
	for {
		stream, err := p.session.Accept()
		if err != nil {
			return
		}
		go func() {
			digest := sha256.New()
			bytes, err := io.Copy(io.MultiWriter(stream, digest), stream)
			if err == nil && stream.Close() == nil {
				p.say("echoed", transferred(bytes, digest))
			}
		}()
	}
}

// send opens streams for each size, all at once, and wants back on each what it has written there.
func send(p *peer) error {
	total := p.count * len(p.sizes)
	sent, failures := make([]transfer, total), make([]error, total)
	var streams sync.WaitGroup
	for index := range total {
		streams.Go(func() { sent[index], failures[index] = sendOne(p, p.sizes[index%len(p.sizes)]) })
	}
	streams.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	p.say("sentAll", sent)
	return nil
}

func sendOne(p *peer, bytes int) (transfer, error) {
	stream, err := p.session.Open()
	if err != nil {
		return transfer{}, err
	}
	type result struct {
		transfer
		err error
	}
	back := make(chan result, 1)
	go func() {
		received, err := read(stream)
		back <- result{received, err}
	}()
	sent, err := write(stream, bytes)
	if err = errors.Join(err, stream.Close()); err != nil {
		return sent, err
	}
	received := <-back
	if received.err == nil && received.transfer != sent {
		received.err = fmt.Errorf("sent %v, got back %v", sent, received.transfer)
	}
	return sent, received.err
}

// counter counts what has been written.
type counter struct {
	io.Writer
	bytes atomic.Int64
}

func (c *counter) Write(data []byte) (int, error) {
	count, err := c.Writer.Write(data)
	c.bytes.Add(int64(count))
	return count, err
}

// flood writes as fast as it may, and tells for each line how far it is. Other streams are echoed meanwhile.
func flood(p *peer) error {
	bytes, err := p.whole()
	if err != nil {
		return err
	}
	stream, err := p.session.Open()
	if err != nil {
		return err
	}
	go p.echoAll()
	written := &counter{Writer: stream}
	go func() {
		for range p.lines {
			p.say("written", written.bytes.Load())
		}
	}()
	return writeAll(p, written, stream, bytes)
}

// sink accepts a stream and reads it when told to. Other streams are echoed meanwhile.
func sink(p *peer) error {
	stream, err := p.session.Accept()
	if err != nil {
		return err
	}
	go p.echoAll()
	p.told()
	return receive(p, stream)
}

// receive takes all, tells it, and ends the stream.
func receive(p *peer, stream net.Conn) error {
	received, err := read(stream)
	if err != nil {
		return err
	}
	p.say("received", received)
	return stream.Close()
}

// backlog accepts nothing. For the first line it tells how many streams have arrived; at the second it begins to accept.
func backlog(p *peer) error {
	p.told()
	if err := p.caughtUp(); err != nil {
		return err
	}
	p.say("arrived", p.session.NumStreams())
	p.told()
	return nil
}

// quietOpen opens streams and says nothing on them for twice the time in which each must be acknowledged. One more than the
// backlog can be opened only after an acknowledgement.
func quietOpen(p *peer) error {
	var streams []net.Conn
	for range p.config.AcceptBacklog + 1 {
		stream, err := p.session.Open()
		if err != nil {
			return err
		}
		streams = append(streams, stream)
	}
	time.Sleep(2 * p.config.StreamOpenTimeout)
	for _, stream := range streams {
		sent, err := write(stream, 100)
		if err = errors.Join(err, stream.Close()); err != nil {
			return err
		}
		if received, err := read(stream); err != nil || received != sent {
			return fmt.Errorf("sent %v, got back %v: %w", sent, received, err)
		}
	}
	p.say("opened", len(streams))
	return nil
}

// leaveOpen ends its half of a stream, which is reset when the test does not end the other half in time.
func leaveOpen(p *peer) error {
	stream, err := p.session.Open()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("begun")); err != nil {
		return err
	}
	return stream.Close()
}

// finishFirst ends its half of a stream that it opens, and of one that it accepts, before it reads what comes.
func finishFirst(p *peer) error {
	opened, err := p.session.Open()
	if err != nil {
		return err
	}
	if err := opened.Close(); err != nil {
		return err
	}
	accepted, err := p.session.Accept()
	if err != nil {
		return err
	}
	if err := accepted.Close(); err != nil {
		return err
	}
	for _, stream := range []net.Conn{opened, accepted} {
		if err := receive(p, stream); err != nil {
			return err
		}
	}
	return nil
}

// finishLast reads a stream that it opens, and one that it accepts, to the end before it writes.
func finishLast(p *peer) error {
	bytes, err := p.whole()
	if err != nil {
		return err
	}
	opened, err := p.session.Open()
	if err != nil {
		return err
	}
	accepted, err := p.session.Accept()
	if err != nil {
		return err
	}
	for _, stream := range []net.Conn{opened, accepted} {
		if _, err := read(stream); err != nil {
			return err
		}
		if err := writeAll(p, stream, stream, bytes); err != nil {
			return err
		}
	}
	return nil
}

// halfClosed reads a stream to its end and leaves its own half open; told to go on, it tells what becomes of a write.
func halfClosed(p *peer) error {
	stream, err := p.session.Accept()
	if err != nil {
		return err
	}
	received, err := read(stream)
	if err != nil {
		return err
	}
	p.say("received", received)
	p.told()
	if err := p.caughtUp(); err != nil {
		return err
	}
	_, err = stream.Write([]byte("too late"))
	p.say("reset", errors.Is(err, yamux.ErrConnectionReset))
	return nil
}

// reset tells how reading a stream ends, and whether it can still be written to.
func reset(p *peer) error {
	stream, err := p.session.Accept()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("begun")); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, stream)
	p.say("reading", errors.Is(err, yamux.ErrConnectionReset))
	_, err = stream.Write([]byte("x"))
	p.say("writing", errors.Is(err, yamux.ErrConnectionReset))
	return nil
}

// goAway takes no more streams while one lives; then it writes on that one, and reads it.
func goAway(p *peer) error {
	stream, err := p.session.Open()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("begun")); err != nil {
		return err
	}
	p.told()
	if err := p.session.GoAway(); err != nil {
		return err
	}
	return lastWords(p, stream)
}

// lastWords writes 500 bytes on a live stream, ends it, and takes what comes.
func lastWords(p *peer, stream net.Conn) error {
	sent, err := write(stream, 500)
	if err = errors.Join(err, stream.Close()); err != nil {
		return err
	}
	p.say("sent", sent)
	return receive(p, stream)
}

// toldToGo has a stream that lives when the test says go-away: it can open none, and goes on with this one.
func toldToGo(p *peer) error {
	stream, err := p.session.Accept()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("begun")); err != nil {
		return err
	}
	p.told()
	if err := p.caughtUp(); err != nil {
		return err
	}
	_, err = p.session.Open()
	p.say("refused", errors.Is(err, yamux.ErrRemoteGoAway))
	return lastWords(p, stream)
}

// leave closes the session, told to, while a stream lives. yamux does so without a word to the other end.
func leave(p *peer) error {
	stream, err := p.session.Accept()
	if err != nil {
		return err
	}
	if _, err := stream.Write([]byte("begun")); err != nil {
		return err
	}
	p.told()
	return p.session.Close()
}

// ping has several pings on their way at once.
func ping(p *peer) error {
	failures := make([]error, p.count)
	var pings sync.WaitGroup
	for index := range p.count {
		pings.Go(func() { _, failures[index] = p.session.Ping() })
	}
	pings.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	p.say("answered", p.count)
	return nil
}

// countPings waits until so many pings were sent that ask, or that answer. One that asks follows the answer to the one before.
func countPings(p *peer, kind uint16) error {
	for seen := 0; seen < p.count; {
		select {
		case flags := <-p.pings:
			if flags == kind {
				seen++
			}
		case <-p.session.CloseChan():
			return fmt.Errorf("the session ended after %d pings", seen)
		}
	}
	p.say("pings", p.count)
	return nil
}
