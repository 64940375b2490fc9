package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/registers"
)

// TestMain makes this test binary answer as countersign where a story, or a demo that it started, calls it by that name.
func TestMain(m *testing.M) {
	if os.Getenv(untilEOF) != "" && filepath.Base(os.Args[0]) != "countersign" {
		_, _ = os.Stderr.WriteString("a demo called the test binary by the name that runs tests\n")
		os.Exit(exitUnusual) // or tests would start tests without end
	}
	testscript.Main(suite{m}, map[string]func(){"countersign": main})
}

// suite removes what the tests of one run share.
type suite struct{ m *testing.M }

// Run implements testscript.TestingM.
func (s suite) Run() int {
	code := s.m.Run()
	if err := shared.remove(); err != nil {
		_, _ = os.Stderr.WriteString(err.Error() + "\n")
		return max(code, 1)
	}
	return code
}

// storyPeople is the smallest country: its cast is complete, and it is made in a moment.
const storyPeople = 300

// sharedRegisters is a folder of registers, built once for each run and copied for each federation.
type sharedRegisters struct {
	once sync.Once
	dir  string
	err  error
}

var shared sharedRegisters

func (s *sharedRegisters) copyTo(dir string) error {
	s.once.Do(func() {
		if s.dir, s.err = os.MkdirTemp("", "countersign-registers-"); s.err == nil {
			s.err = registers.Build(context.Background(), s.dir, country.Config{People: storyPeople}, nil)
		}
	})
	if s.err != nil {
		return s.err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.CopyFS(dir, os.DirFS(s.dir))
}

func (s *sharedRegisters) remove() error {
	if s.dir == "" {
		return nil
	}
	return os.RemoveAll(s.dir)
}

// TestStories plays every story of testdata/script. Each has a federation of its own: real processes of this binary, over real sockets.
// README.md beside the scripts says which commands they know.
func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               func(env *testscript.Env) error { beginStory(env); return nil },
		Cmds:                storyCommands(),
	})
}

// beginStory gives a script its story, which ends with it.
func beginStory(env *testscript.Env) *story {
	s := &story{env: env}
	env.Values[storyKey{}] = s
	env.Defer(func() {
		if err := s.end(); err != nil {
			env.T().Log(err)
			env.T().FailNow()
		}
	})
	return s
}

// storyCommands are what scripts can say beside testscript's own commands.
func storyCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return merged(ledgerCommands(), map[string]func(*testscript.TestScript, bool, []string){
		"federation":   cmdFederation,
		"start":        cmdStart,
		"halt":         cmdHalt,
		"launch":       cmdLaunch,
		"kill9":        cmdKill,
		"await":        cmdAwait,
		"knock":        cmdKnock,
		"descriptions": cmdDescriptions,
		"pin":          cmdPin,
		"await-code":   cmdAwaitCode,
		"await-log":    cmdAwaitLog,
		"edit":         cmdEdit,
		"walk":         cmdWalk,
		"flood":        cmdFlood,
		"memory":       cmdMemory,
		"ask":          cmdAsk,
		"json":         cmdJSON,
		"record":       cmdRecord,
		"paired":       cmdPaired,
		"middle":       cmdMiddle,
		"replay":       cmdReplay,
		"status":       cmdStatus,
		"settled":      cmdSettled,
		"sqlservice":   cmdSQLService,
		"receipt":      cmdReceipt,
		"nowhere":      cmdNowhere,
		"login":        cmdLogin,
		"tracker":      cmdTracker,
		"notices":      cmdNotices,
		"letters":      cmdLetters,
		"stopped":      cmdStopped,
		"history":      cmdHistory,
		"petition":     cmdPetition,
		"agree":        cmdAgree,
		"own":          cmdOwn,
		"bycode":       cmdByCode,
		"portalalone":  cmdPortalAlone,
		"let":          cmdLet,
		"volley":       cmdVolley,
		"forge":        cmdForge,
		"ports":        cmdPorts,
		"odd-register": cmdOddRegister,
		"raw":          cmdRaw,
	})
}

type storyKey struct{}

func storyOf(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

var errUsage = errors.New("usage")
