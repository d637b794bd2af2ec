package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// watched keeps what is written to it, and lets a case wait for a text.
type watched struct {
	lock    sync.Mutex
	written bytes.Buffer
	more    chan struct{} // closed and replaced with every write
}

func newWatched() *watched { return &watched{more: make(chan struct{})} }

func (w *watched) Write(data []byte) (int, error) {
	w.lock.Lock()
	defer w.lock.Unlock()
	close(w.more)
	w.more = make(chan struct{})
	return w.written.Write(data)
}

func (w *watched) String() string {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.written.String()
}

// line waits for a line that contains all the texts.
func (w *watched) line(ctx context.Context, texts ...string) error {
	for {
		w.lock.Lock()
		more, written := w.more, bytes.Clone(w.written.Bytes())
		w.lock.Unlock()
	lines:
		for line := range bytes.Lines(written) {
			for _, text := range texts {
				if !bytes.Contains(line, []byte(text)) {
					continue lines
				}
			}
			return nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("no line with %q in %q", texts, written)
		}
	}
}
