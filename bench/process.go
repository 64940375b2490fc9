package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"countersign.dev/countersign/internal/clock"
)

const (
	startTimeout = 2 * time.Minute  // until a child has said where it listens; a pair makes keys and a directory first
	stopTimeout  = 15 * time.Second // from SIGTERM until SIGKILL
)

// process is a child that runs until stopped. It leads a process group of its own, so that its children end with it.
type process struct {
	name   string
	pid    int
	stdout *os.File
	exited chan struct{} // closed once it has ended
	err    error         // how it ended; read after exited
}

// start runs a program in dir ("" for the current folder) with these variables added to the environment. Its standard error
// is passed to errOut.
func start(ctx context.Context, errOut io.Writer, dir string, env []string, program string, args ...string) (*process, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("opening a pipe: %w", err)
	}
	name := filepath.Base(program) + " " + strings.Join(args, " ")
	cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...) // ended by stop, in order
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = write, errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // a grandchild may keep standard error open
	err = cmd.Start()
	if closing := write.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, pid: cmd.Process.Pid, stdout: read, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process and its group: SIGTERM, and SIGKILL when it does not heed it.
func (p *process) stop() {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
	case <-time.After(stopTimeout):
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
	p.signal(syscall.SIGKILL) // what it left behind
	if err := p.stdout.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		fmt.Fprintln(os.Stderr, "bench: closing the pipe of", p.name+":", err)
	}
}

// signal reaches the whole group. That the group is gone already is what stop wants.
func (p *process) signal(s syscall.Signal) {
	if err := syscall.Kill(-p.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Fprintln(os.Stderr, "bench: stopping", p.name+":", err)
	}
}

// say lets read take what the process prints first, and drains what comes after. It fails when the process ends, the context
// does, or startTimeout passes before that.
func (p *process) say(ctx context.Context, read func(io.Reader) error) error {
	if err := p.stdout.SetReadDeadline(clock.System{}.Now().Add(startTimeout)); err != nil {
		return fmt.Errorf("limiting the wait for %s: %w", p.name, err)
	}
	cancelled := context.AfterFunc(ctx, func() {
		if err := p.stdout.SetReadDeadline(clock.System{}.Now()); err != nil && !errors.Is(err, os.ErrClosed) {
			fmt.Fprintln(os.Stderr, "bench: giving up on", p.name+":", err)
		}
	})
	defer cancelled()
	err := read(p.stdout)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s ended, or closed its output, before it said where it listens", p.name)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s did not say where it listens within %s", p.name, startTimeout)
	case err != nil:
		return fmt.Errorf("reading what %s prints: %w", p.name, err)
	}
	if err := p.stdout.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lifting the limit on %s: %w", p.name, err)
	}
	go func() {
		if _, err := io.Copy(io.Discard, p.stdout); err != nil && !errors.Is(err, os.ErrClosed) {
			fmt.Fprintln(os.Stderr, "bench: draining", p.name+":", err)
		}
	}()
	return nil
}

// line reads the first line that the process prints.
func (p *process) line(ctx context.Context) (string, error) {
	var line string
	err := p.say(ctx, func(r io.Reader) (err error) {
		line, err = bufio.NewReader(r).ReadString('\n')
		return err
	})
	return strings.TrimSpace(line), err
}

// json reads the first JSON value that the process prints.
func (p *process) json(ctx context.Context, into any) error {
	return p.say(ctx, func(r io.Reader) error { return json.NewDecoder(r).Decode(into) })
}

// alive fails when the process has ended.
func (p *process) alive() error {
	select {
	case <-p.exited:
		if p.err != nil {
			return fmt.Errorf("%s ended during the comparison: %w", p.name, p.err)
		}
		return fmt.Errorf("%s ended during the comparison", p.name)
	default:
		return nil
	}
}
