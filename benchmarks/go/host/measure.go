package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"muxplug/benchmarks/bench"
)

// metrics are those of measure.ts, by their names there.
type metrics map[string]float64

// cell is what is asked for, as in cell.ts.
type cell struct {
	Case       string  `json:"case"`
	WarmUpMs   float64 `json:"warmUpMs"`
	DurationMs float64 `json:"durationMs"`
}

func (c cell) warmUp() time.Duration   { return time.Duration(c.WarmUpMs * 1e6) }
func (c cell) duration() time.Duration { return time.Duration(c.DurationMs * 1e6) }

// measures are the cases of cases.ts.
var measures = map[string]func(*link, cell) (metrics, error){
	"unary-64B":    latency((*link).call, 64),
	"unary-4KiB":   latency((*link).call, 4096),
	"unary-1MiB":   latency((*link).call, 1<<20),
	"inflight-1":   inFlight(1),
	"inflight-8":   inFlight(8),
	"inflight-64":  inFlight(64),
	"inflight-512": inFlight(512),
	"down-64KiB":   transfers("Down"),
	"up-64KiB":     transfers("Up"),
	"both-64KiB":   transfers("Both"),
	"dial":         latency((*link).dial, 64),
	"dial-burst":   dialBurst,
	"live-10":      live(10),
	"live-100":     live(100),
	"live-1000":    live(1000),
	"callback":     latency((*link).callback, 64),
	"fairness":     fairness,
	"idle":         idle,
}

// checked is an operation with its answer checked.
func checked(do operation, size int) func() error {
	payload := bytes.Repeat([]byte("muxplug "), size/8)
	return func() error {
		answer, err := do(payload)
		if err == nil && !bytes.Equal(answer, payload) {
			err = errors.New("the answer is not what was sent")
		}
		return err
	}
}

func latency(do func(*link, []byte) ([]byte, error), size int) func(*link, cell) (metrics, error) {
	return func(l *link, c cell) (metrics, error) {
		return sample(l, c, checked(func(payload []byte) ([]byte, error) { return do(l, payload) }, size))
	}
}

// sample times an operation, one after another.
func sample(l *link, c cell, do func() error) (metrics, error) {
	if _, err := repeat(do, c.warmUp()); err != nil {
		return nil, err
	}
	return sampleWarm(l, c, do)
}

func sampleWarm(l *link, c cell, do func() error) (metrics, error) {
	before, err := cpuOfBoth(l)
	if err != nil {
		return nil, err
	}
	times, err := timed(do, c.duration())
	if err != nil {
		return nil, err
	}
	after, err := cpuOfBoth(l)
	found := percentiles(times)
	found["cpu"] = (after - before) / float64(len(times)) * 10_000
	return found, err
}

func inFlight(width int) func(*link, cell) (metrics, error) {
	return func(l *link, c cell) (metrics, error) {
		do := checked(l.call, 64)
		work := func(length time.Duration) (int, error) {
			return inParallel(width, func() (int, error) { return repeat(do, length) })
		}
		if _, err := work(c.warmUp()); err != nil {
			return nil, err
		}
		return throughput(l, func() (int, error) { return work(c.duration()) })
	}
}

func dialBurst(l *link, c cell) (metrics, error) {
	do := checked(l.dial, 64)
	burst := func(width int) func() error {
		return func() error {
			_, err := inParallel(width, func() (int, error) { return 1, do() })
			return err
		}
	}
	if _, err := repeat(burst(16), c.warmUp()); err != nil {
		return nil, err
	}
	return throughput(l, func() (int, error) {
		count, err := repeat(burst(256), c.duration())
		return count * 256, err
	})
}

func transfers(direction string) func(*link, cell) (metrics, error) {
	return func(l *link, c cell) (metrics, error) {
		do := func() error { return l.transfer(direction, nil) }
		if _, err := repeat(do, c.warmUp()); err != nil {
			return nil, err
		}
		found, err := throughput(l, func() (int, error) {
			count, err := repeat(do, c.duration())
			return count * transferChunks, err
		})
		if err == nil {
			found["rate"] *= bench.ChunkBytes / 1e6
		}
		return found, err
	}
}

func fairness(l *link, c cell) (metrics, error) {
	do := checked(l.call, 64)
	if _, err := repeat(do, c.warmUp()); err != nil {
		return nil, err
	}
	var over atomic.Bool
	var received atomic.Int64
	bulk := make(chan error, 1)
	go func() {
		for !over.Load() {
			if err := l.transfer("Down", &received); err != nil {
				bulk <- err
				return
			}
		}
		bulk <- nil
	}()
	if _, err := repeat(do, c.warmUp()); err != nil {
		return nil, err
	}
	before, started := received.Load(), time.Now()
	found, err := sampleWarm(l, c, do)
	rate := float64(received.Load()-before) * bench.ChunkBytes / 1e6 / time.Since(started).Seconds()
	over.Store(true)
	if err = errors.Join(err, <-bulk); err != nil {
		return nil, err
	}
	found["rate"] = rate
	return found, nil
}

func live(count int64) func(*link, cell) (metrics, error) {
	return func(l *link, c cell) (metrics, error) {
		keep := checked(l.keep, 64)
		var begun atomic.Int64
		_, err := inParallel(16, func() (int, error) {
			for begun.Add(1) <= count {
				if err := keep(); err != nil {
					return 0, err
				}
			}
			return 0, nil
		})
		if err != nil {
			return nil, err
		}
		do := checked(l.call, 64)
		if _, err := repeat(do, c.warmUp()); err != nil {
			return nil, err
		}
		theirs, err := l.usage()
		if err != nil {
			return nil, err
		}
		memory := memoryOf(bench.OwnUsage(), theirs)
		found, err := sampleWarm(l, c, do)
		if err != nil {
			return nil, err
		}
		for name, value := range memory {
			found[name] = value
		}
		found["files"], err = countSockets(os.TempDir())
		return found, err
	}
}

func idle(l *link, _ cell) (metrics, error) {
	if err := checked(l.call, 64)(); err != nil {
		return nil, err
	}
	usage, err := l.usage()
	return memoryOf(usage), err
}

// coldStart is from the start of the plugin to its first answer, and beside it a Node process that does nothing.
func coldStart(c cell) (metrics, error) {
	var starts, empty []time.Duration
	var cpu float64
	for end := time.Now().Add(4 * c.duration()); len(starts) < 2 || time.Now().Before(end); {
		started := time.Now()
		if err := exec.Command(*nodePath, "-e", "").Run(); err != nil {
			return nil, fmt.Errorf("an empty node process: %w", err)
		}
		empty = append(empty, time.Since(started))
		taken, used, err := start()
		if err != nil {
			return nil, err
		}
		starts = append(starts, taken)
		cpu += used
	}
	found := metrics{"p50": middle(starts) / 1e3, "ratio": middle(starts) / middle(empty)}
	found["cpu"] = cpu / float64(len(starts)) * 10_000
	return found, nil
}

func start() (taken time.Duration, cpu float64, err error) {
	before, started := bench.OwnUsage().CPUSeconds, time.Now()
	l, err := open()
	if err != nil {
		return 0, 0, err
	}
	defer l.close()
	if err := checked(l.call, 64)(); err != nil {
		return 0, 0, err
	}
	taken = time.Since(started)
	usage, err := l.usage()
	return taken, bench.OwnUsage().CPUSeconds - before + usage.CPUSeconds, err
}

// repeat goes on until the time is over, and does it at least once.
func repeat(do func() error, length time.Duration) (count int, err error) {
	for end := time.Now().Add(length); count == 0 || time.Now().Before(end); count++ {
		if err := do(); err != nil {
			return count, err
		}
	}
	return count, nil
}

func timed(do func() error, length time.Duration) (times []time.Duration, err error) {
	_, err = repeat(func() error {
		started := time.Now()
		err := do()
		times = append(times, time.Since(started))
		return err
	}, length)
	return times, err
}

func inParallel(width int, work func() (int, error)) (int, error) {
	var group sync.WaitGroup
	var total atomic.Int64
	failures := make([]error, width)
	for index := range width {
		group.Go(func() {
			count, err := work()
			total.Add(int64(count))
			failures[index] = err
		})
	}
	group.Wait()
	for _, err := range failures {
		if err != nil {
			return 0, err
		}
	}
	return int(total.Load()), nil
}

func throughput(l *link, work func() (int, error)) (metrics, error) {
	before, err := cpuOfBoth(l)
	if err != nil {
		return nil, err
	}
	started := time.Now()
	count, err := work()
	seconds := time.Since(started).Seconds()
	if err != nil {
		return nil, err
	}
	after, err := cpuOfBoth(l)
	return metrics{
		"rate": float64(count) / seconds,
		"cpu":  (after - before) / float64(count) * 10_000,
	}, err
}

func cpuOfBoth(l *link) (float64, error) {
	usage, err := l.usage()
	return usage.CPUSeconds + bench.OwnUsage().CPUSeconds, err
}

// percentiles are in microseconds. One that fewer than one sample in all would lie above is left out.
func percentiles(times []time.Duration) metrics {
	slices.Sort(times)
	count := len(times)
	found := metrics{}
	for _, one := range []struct {
		name    string
		percent float64
		least   int
	}{{"p50", 50, 1}, {"p90", 90, 10}, {"p99", 99, 100}, {"p999", 99.9, 1000}} {
		if count >= one.least {
			index := min(count-1, int(float64(count)*one.percent/100))
			found[one.name] = float64(times[index]) / 1e3
		}
	}
	return found
}

func memoryOf(usages ...bench.Usage) metrics {
	found := metrics{}
	for _, usage := range usages {
		found["rss"] += usage.RSSBytes
		found["heap"] += usage.HeapBytes
		found["fds"] += usage.FDs
	}
	return found
}

func countSockets(directory string) (count float64, err error) {
	err = filepath.WalkDir(directory, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type()&fs.ModeSocket != 0 {
			count++
		}
		return err
	})
	return count, err
}

func middle(times []time.Duration) float64 {
	slices.Sort(times)
	half := len(times) / 2
	if len(times)%2 == 1 {
		return float64(times[half])
	}
	return float64(times[half-1]+times[half]) / 2
}
