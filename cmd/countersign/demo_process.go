package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"countersign.dev/countersign/internal/ledger/lockfile"
)

// process is one part of the demo: this same binary again, with arguments of its own. It lives no longer than the demo: its standard input is
// a pipe that ends with the parent, however that ends.
type process struct {
	name  string
	args  []string
	ready string   // URL that answers 200 once the part works
	log   string   // file of its output
	env   []string // beside this process's own

	mu     sync.Mutex
	cmd    *exec.Cmd
	stdin  io.Closer
	exited chan struct{}
	err    error
}

// start runs the process; it does not wait until it is ready.
func (p *process) start(self string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()                     //nolint:errcheck // the child has its own
	p.cmd = exec.Command(self, p.args...) //nolint:noctx // this very binary; stopped by stop
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.Env = append(append(os.Environ(), p.env...), untilEOF+"=1")
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	p.stdin = stdin
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("%s did not start: %w", p.name, err)
	}
	p.exited = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(done)
	}(p.cmd, p.exited)
	return nil
}

// untilEOF tells a part of the demo to stop when its standard input ends.
const untilEOF = "COUNTERSIGN_UNTIL_EOF"

// untilInputEnds ends the context with standard input, where the demo asked for it.
func untilInputEnds(ctx context.Context) context.Context {
	if os.Getenv(untilEOF) == "" {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	return ctx
}

func (p *process) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil || p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// await waits until the part answers on its ready URL, or says how its output ends.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	client := &http.Client{Timeout: 2 * time.Second}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-p.exited:
			timer.Stop()
			return fmt.Errorf("%s stopped while starting:\n%s", p.name, tail(p.log))
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s is not ready:\n%s", p.name, tail(p.log))
		case <-timer.C:
		}
	}
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// stop ends the process in order, and kills it if it does not.
func (p *process) stop() {
	p.mu.Lock()
	cmd, stdin, exited := p.cmd, p.stdin, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = stdin.Close()
	_ = cmd.Process.Signal(os.Interrupt)
	timer := time.NewTimer(10 * time.Second)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		_ = cmd.Process.Kill()
		<-exited
	}
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// fleet is all the demo's processes, in the order in which they start.
type fleet struct {
	self  string
	parts []*process
}

// executable finds the running binary by the name it was called with, so that a test's copy calls itself.
func executable() (string, error) {
	if strings.HasSuffix(os.Args[0], ".test") {
		return "", errors.New("the demo starts this program again for its parts, and a test binary would run its tests again: start it as the command countersign")
	}
	if filepath.Base(os.Args[0]) != os.Args[0] {
		return filepath.Abs(os.Args[0])
	}
	path, err := exec.LookPath(os.Args[0])
	if err != nil {
		return os.Executable()
	}
	return filepath.Abs(path)
}

// start starts every part at once and waits until all are ready.
func (f *fleet) start(ctx context.Context) error {
	for _, p := range f.parts {
		if err := p.start(f.self); err != nil {
			return err
		}
	}
	errs := make([]error, len(f.parts))
	var wg sync.WaitGroup
	for i, p := range f.parts {
		wg.Go(func() { errs[i] = p.await(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// stop ends every part, those that others need last.
func (f *fleet) stop() {
	var wg sync.WaitGroup
	for _, p := range f.parts {
		wg.Go(p.stop)
	}
	wg.Wait()
}

func (f *fleet) part(name string) *process {
	for _, p := range f.parts {
		if p.name == name {
			return p
		}
	}
	return nil
}

// freeAddresses finds n free ports of loopback. They lie below those that systems give to outgoing connections: a port that is kept for the next
// start must not be somebody's by then. Whole blocks of ports are reserved against other demos on this machine that are choosing theirs or have
// not started yet; the reservation lasts as long as its holder keeps the locks.
func freeAddresses(n int) (out []string, reserved []*lockfile.Lock, err error) {
	folder := filepath.Join("/tmp", "countersign-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, nil, err
	}
	for _, block := range rand.Perm((lastPort - firstPort) / portBlock) { //nolint:gosec // any will do
		lock, err := lockfile.Acquire(filepath.Join(folder, strconv.Itoa(block)))
		if err != nil {
			continue // another demo's
		}
		reserved = append(reserved, lock)
		for port := firstPort + block*portBlock; port < firstPort+(block+1)*portBlock; port++ {
			l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // closed at once
			if err != nil {
				continue
			}
			out = append(out, l.Addr().String())
			if err := l.Close(); err != nil {
				return nil, nil, err
			}
			if len(out) == n {
				return out, reserved, nil
			}
		}
	}
	return nil, nil, fmt.Errorf("no %d ports are free between %d and %d", n, firstPort, lastPort)
}

// portBlock is how many ports are reserved together.
const portBlock = 50

// SPEC: Linux gives outgoing connections the ports 32768 to 60999, others those from 49152 on (RFC 6335).
const (
	firstPort = 12000
	lastPort  = 32000
)
