package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/note"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger/monitor"
	"countersign.dev/countersign/internal/store"
)

// ledgerCommands are the words of stories about logs.
func ledgerCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"monitor":  cmdMonitor,
		"evidence": cmdEvidence,
		"sql":      cmdSQL,
		"cosigned": cmdCosigned,
		"store":    cmdStore,
	}
}

// cmdMonitor: "monitor MUN [FLAG…]" watches the federation with the TLS key of MUN, once, and prints the report; "monitor - [FLAG…]" as the
// public. What it has seen is kept in $WORK/monitor between its runs. "! monitor" expects findings.
func cmdMonitor(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if len(args) == 0 {
		ts.Fatalf("usage: monitor AGENCY|- [FLAG…]")
	}
	flags := []string{"monitor", "--directory", s.d.Directory.URL, "--root", s.d.path("root.json"), "--dir", ts.MkAbs("monitor"), "--once", "--json", "--patience", "8s"}
	if args[0] != "-" {
		flags = append(flags, "--key", filepath.Join(s.d.Members[args[0]].Keys, keyTLS))
	}
	err := ts.Exec("countersign", append(flags, args[1:]...)...)
	if found := err != nil; found != neg {
		ts.Fatalf("findings are %t: %v", found, err)
	}
}

// cmdEvidence: "evidence FILE…" verifies contradictions that a monitor has kept, by themselves.
func cmdEvidence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: evidence GLOB")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("there is no evidence in %s", args[0])
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		ts.Check(err)
		var e monitor.Evidence
		ts.Check(json.Unmarshal(text, &e))
		ts.Check(e.Check())
		fmt.Fprintf(ts.Stdout(), "%s: two heads of %s, seen at %s\n", filepath.Base(file), e.Origin, e.Seen)
		// It is evidence because of the signatures: another text proves nothing.
		e.Heads[0] = strings.Replace(e.Heads[0], "\n", "\n1", 1)
		if e.Check() == nil {
			ts.Fatalf("evidence with a changed head is believed")
		}
	}
}

// cmdSQL: "sql MUN STATEMENT…" changes the store of a member behind its gateway's back, which must be stopped: what an operator can do who
// has the machine.
func cmdSQL(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) < 2 {
		ts.Fatalf("usage: sql AGENCY STATEMENT…")
	}
	db, err := sql.Open("sqlite", filepath.Join(filepath.Dir(s.d.Members[args[0]].Config), "data", storeFile))
	ts.Check(err)
	defer db.Close() //nolint:errcheck // each statement is a transaction of its own
	for _, statement := range args[1:] {
		_, err := db.ExecContext(context.Background(), statement)
		ts.Check(err)
	}
}

// cmdCosigned: "cosigned MUN as=POP" waits until a quorum has cosigned everything in the log of MUN that stands there now.
func cmdCosigned(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 2 || !strings.HasPrefix(args[1], "as=") {
		ts.Fatalf("usage: cosigned AGENCY as=AGENCY")
	}
	due, err := sizeOf(s.d.Members[args[0]])
	ts.Check(err)
	r, err := readerOf(s.d, args[0], strings.TrimPrefix(args[1], "as="))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	ts.Check(until(ctx, func() error {
		text, err := r.get("/checkpoint")
		if err != nil {
			return err
		}
		n, err := note.Open(text, note.VerifierList(r.verifier))
		if err != nil {
			return err
		}
		var size uint64
		if _, err := fmt.Sscanf(n.Text, r.verifier.Name()+"\n%d\n", &size); err != nil {
			return err
		}
		if size < due || bytes.Count(text, []byte("\n— ")) < 3 {
			return countersign.Refuse(countersign.CodeNoQuorum, "%d leaves are cosigned", size)
		}
		return nil
	}))
}

// sizeOf reads a member's store beside its gateway.
func sizeOf(m demoMember) (size uint64, err error) {
	ctx := context.Background()
	db, err := store.OpenSQLiteReader(ctx, filepath.Join(filepath.Dir(m.Config), "data", storeFile))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return db.Size(ctx)
}

// merged adds the commands of one list to those of another.
func merged(lists ...map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	out := map[string]func(*testscript.TestScript, bool, []string){}
	for _, l := range lists {
		maps.Copy(out, l)
	}
	return out
}

// cmdStore: "store keep MUN NAME" copies the store of a stopped gateway to $WORK/NAME; "store back MUN NAME" puts that copy in its place.
func cmdStore(ts *testscript.TestScript, neg bool, args []string) {
	s := storyOf(ts)
	if neg || len(args) != 3 {
		ts.Fatalf("usage: store keep|back AGENCY NAME")
	}
	data, kept := filepath.Join(filepath.Dir(s.d.Members[args[1]].Config), "data"), ts.MkAbs(args[2])
	from, to := data, kept
	if args[0] == "back" {
		from, to = kept, data
	}
	ts.Check(os.MkdirAll(to, 0o700))
	for _, name := range []string{storeFile, storeFile + "-wal", storeFile + "-shm"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if errors.Is(err, fs.ErrNotExist) {
			err = os.Remove(filepath.Join(to, name))
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			ts.Check(err)
			continue
		}
		ts.Check(err)
		ts.Check(os.WriteFile(filepath.Join(to, name), text, 0o600))
	}
}
