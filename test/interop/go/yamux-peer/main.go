// Command yamux-peer is hashicorp/yamux at the other end of descriptor 3. It plays the scenario that its argument names, then
// echoes every stream until the session ends, and leaves with code 0. What it has seen it tells as one JSON object a line on
// standard output. Where the test decides when to go on, it waits for a line on standard input; it does not outlive that.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/yamux"
)

func main() {
	log.SetFlags(0)
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	role := flag.String("role", "server", "client or server")
	flag.IntVar(&config.AcceptBacklog, "accept-backlog", config.AcceptBacklog, "streams not yet accepted, at either end")
	flag.Func("keep-alive", "time between pings; without it there are none", func(text string) (err error) {
		config.EnableKeepAlive = true
		config.KeepAliveInterval, err = time.ParseDuration(text)
		return err
	})
	window := flag.Uint("window", uint(config.MaxStreamWindowSize), "bytes that a stream takes before they are read")
	flag.DurationVar(&config.StreamOpenTimeout, "open-timeout", config.StreamOpenTimeout, "until a stream must be acknowledged")
	flag.DurationVar(&config.StreamCloseTimeout, "close-timeout", config.StreamCloseTimeout, "until both ends must have closed")
	flag.DurationVar(&config.ConnectionWriteTimeout, "write-timeout", config.ConnectionWriteTimeout, "for a frame, and a ping")
	count := flag.Int("count", 1, "how many streams the scenario opens, of each size")
	var sizes sizeList
	flag.Var(&sizes, "bytes", "how much the scenario writes; `send` takes a list")
	flag.Parse()
	config.MaxStreamWindowSize = uint32(*window)

	play, known := scenarios[flag.Arg(0)]
	if !known {
		log.Fatalf("there is no scenario %q", flag.Arg(0))
	}
	stream, err := openStream()
	if err != nil {
		log.Fatal("descriptor 3: ", err)
	}
	p := &peer{config: config, count: *count, sizes: sizes, lines: make(chan string), pings: make(chan uint16, 64)}
	start := map[string]func() (*yamux.Session, error){
		"client": func() (*yamux.Session, error) { return yamux.Client(pingWatch{stream, p.pings}, config) },
		"server": func() (*yamux.Session, error) { return yamux.Server(pingWatch{stream, p.pings}, config) },
	}[*role]
	if start == nil {
		log.Fatalf("there is no role %q", *role)
	}
	if p.session, err = start(); err != nil {
		log.Fatal(err)
	}
	go p.readLines()
	if err := play(p); err != nil {
		log.Fatalf("%s: %v", flag.Arg(0), err)
	}
	p.echoAll()
}

// openStream takes descriptor 3 from the test. Only one that does not block can be closed while it is being read.
func openStream() (net.Conn, error) {
	if err := syscall.SetNonblock(3, true); err != nil {
		return nil, err
	}
	file := os.NewFile(3, "stream")
	defer file.Close()
	return net.FileConn(file)
}

// pingWatch tells the flags of every ping frame that is sent. yamux writes a header by itself.
type pingWatch struct {
	net.Conn
	flags chan<- uint16
}

const (
	pingType         = 2
	pingAsked uint16 = 1 // SYN
	pingReply uint16 = 2 // ACK
)

func (w pingWatch) Write(frame []byte) (int, error) {
	if len(frame) == 12 && frame[0] == 0 && frame[1] == pingType {
		select {
		case w.flags <- uint16(frame[2])<<8 | uint16(frame[3]):
		default: // enough of them wait
		}
	}
	return w.Conn.Write(frame)
}

type peer struct {
	session *yamux.Session
	config  *yamux.Config
	count   int
	sizes   sizeList
	lines   chan string
	pings   chan uint16
	saying  sync.Mutex
}

// say tells the test something.
func (p *peer) say(what string, value any) {
	p.saying.Lock()
	defer p.saying.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{what: value}); err != nil {
		os.Exit(1)
	}
}

// told waits for the test's next line.
func (p *peer) told() { <-p.lines }

func (p *peer) readLines() {
	for input := bufio.NewScanner(os.Stdin); input.Scan(); {
		p.lines <- input.Text()
	}
	os.Exit(1)
}

// caughtUp returns when all that the test had sent before has been dealt with: the reply to a ping comes behind it.
func (p *peer) caughtUp() error {
	_, err := p.session.Ping()
	return err
}

// sizeList is the flag of numbers with commas.
type sizeList []int

func (s *sizeList) String() string { return fmt.Sprint(*s) }

func (s *sizeList) Set(text string) error { return json.Unmarshal([]byte("["+text+"]"), s) }

// whole is the size where a scenario needs one.
func (p *peer) whole() (int, error) {
	if len(p.sizes) != 1 {
		return 0, errors.New("one -bytes is needed")
	}
	return p.sizes[0], nil
}
