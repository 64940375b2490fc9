package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fsckRun runs the command as a shell would and reads its JSON.
func fsckRun(t *testing.T, want int, args ...string) *fsckResult {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(append([]string{"fsck", "--json"}, args...), streams{&out, &errs}); got != want {
		t.Fatalf("fsck %s: status %d, not %d\n%s%s", args, got, want, out.Bytes(), errs.Bytes())
	}
	r := &fsckResult{}
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), r); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// edit changes a member's database behind the program's back.
func edit(t *testing.T, file string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, s := range statements {
		res, err := db.ExecContext(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 && !strings.HasPrefix(s, "PRAGMA") {
			t.Fatalf("%s: %d rows, %v", s, n, err)
		}
	}
}

// copyFolder copies a member's folder with the modes of its keys.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// filledLog makes a gateway's folder whose log has n leaves besides its inception, and closes it.
func filledLog(t *testing.T, n int) (dir, file string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "agency")
	parts := logParts{origin: "agency.demo.example/log", data: filepath.Join(dir, "data"), keys: filepath.Join(dir, "keys")}
	if _, err := beginLog(t.Context(), parts, "test"); err != nil {
		t.Fatal(err)
	}
	fillLog(t, parts, n)
	text := `member: DEMO/GOV/1001
name: gw1
origin: agency.demo.example/log
data: data
keys: keys
listen: {client: "127.0.0.1:1", peer: "127.0.0.1:2", admin: "127.0.0.1:3"}
directory: {url: "http://127.0.0.1:4", root: root.json}
`
	if err := os.WriteFile(filepath.Join(dir, "gateway.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, parts.file()
}

func TestFsckFindsRepairsAndNames(t *testing.T) {
	dir, file := filledLog(t, 300)
	r := fsckRun(t, fsckClean, dir)
	if len(r.Stores) != 1 || r.Status != "clean" || r.Stores[0].Records < 300 || r.Stores[0].Leaves < 301 || r.Stores[0].Tiles != 1 || r.Stores[0].Reservations < 300 || !r.Stores[0].Keys {
		t.Fatalf("%+v", r.Stores)
	}
	if r := fsckRun(t, fsckClean, filepath.Join(dir, "data")); !r.Stores[0].Keys {
		t.Fatal("the configuration beside the data was not found")
	}

	t.Run("tiles and reservations follow from leaves", func(t *testing.T) {
		edit(t, file, "UPDATE tiles SET hashes = zeroblob(8192)", "DELETE FROM reservations WHERE exchange IN (SELECT exchange FROM entries WHERE idx = 7)")
		if r := fsckRun(t, fsckBroken, "--read-only", dir); len(r.Stores[0].Problems) != 2 {
			t.Fatalf("%+v", r.Stores[0])
		}
		if r := fsckRun(t, fsckRepaired, dir); len(r.Stores[0].Problems) != 2 || r.Status != "repaired" {
			t.Fatalf("%+v", r.Stores[0])
		}
		fsckRun(t, fsckClean, dir)
	})

	t.Run("an index follows from its table", func(t *testing.T) {
		edit(t, file, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = replace(sql, 'IS NOT NULL', 'IS NULL') WHERE name = 'entries_tag'")
		r := fsckRun(t, fsckBroken, "--read-only", dir)
		if p := r.Stores[0].Problems[0]; p.Where != "database" {
			t.Fatalf("%+v", p)
		}
		fsckRun(t, fsckRepaired, dir)
		edit(t, file, "PRAGMA writable_schema = ON", "UPDATE sqlite_schema SET sql = replace(sql, 'IS NULL', 'IS NOT NULL') WHERE name = 'entries_tag'")
		fsckRun(t, fsckRepaired, dir)
		fsckRun(t, fsckClean, dir)
	})

	for name, c := range map[string]struct{ statement, where string }{
		"a changed leaf":         {"UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE idx = 5) WHERE idx = 9", "record 9"},
		"a lost leaf":            {"DELETE FROM entries WHERE idx = 20", "leaf 0"},
		"a cut log":              {"DELETE FROM entries WHERE idx > 100", "checkpoint "},
		"a changed record":       {"UPDATE entries SET record = (SELECT record FROM entries WHERE idx = 5) WHERE idx = 9", "record 9"},
		"a checkpoint of nobody": {"UPDATE checkpoints SET note = (SELECT leaf FROM entries WHERE idx = 1)", "checkpoint "},
		"another log":            {"UPDATE meta SET value = 'x.example/log' WHERE name = 'origin'", "setting origin"},
		"no inception":           {"UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE idx = 5) WHERE idx = 0", "leaf 0"},
	} {
		t.Run(name, func(t *testing.T) {
			other := filepath.Join(t.TempDir(), "copy")
			copyFolder(t, dir, other)
			edit(t, filepath.Join(other, "data", storeFile), c.statement)
			r := fsckRun(t, fsckBroken, other)
			for _, p := range r.Stores[0].Problems {
				if strings.HasPrefix(p.Where, c.where) && !p.Repaired {
					return
				}
			}
			t.Fatalf("no problem at %s: %+v", c.where, r.Stores[0].Problems)
		})
	}

	t.Run("a lost store, and lost keys", func(t *testing.T) {
		other := filepath.Join(t.TempDir(), "copy")
		copyFolder(t, dir, other)
		months, err := filepath.Glob(filepath.Join(other, "keys", keyExpiry, "*.key"))
		if err != nil || len(months) == 0 {
			t.Fatal(months, err)
		}
		for _, m := range months {
			if err := os.Remove(m); err != nil {
				t.Fatal(err)
			}
		}
		if r := fsckRun(t, fsckBroken, other); !strings.Contains(r.Stores[0].Problems[0].What, "expiry keys") {
			t.Fatalf("%+v", r.Stores[0].Problems)
		}
		if err := os.Remove(filepath.Join(other, "data", storeFile)); err != nil {
			t.Fatal(err)
		}
		fsckRun(t, fsckBroken, other)
		fsckRun(t, fsckBroken, t.TempDir())
	})

	t.Run("what a witness holds", func(t *testing.T) {
		older := filepath.Join(t.TempDir(), "older")
		copyFolder(t, dir, older)
		parts := logParts{origin: "agency.demo.example/log", data: filepath.Join(dir, "data"), keys: filepath.Join(dir, "keys")}
		head := filepath.Join(t.TempDir(), "head")
		if err := os.WriteFile(head, fillLog(t, parts, 3), 0o600); err != nil {
			t.Fatal(err)
		}
		fsckRun(t, fsckClean, "--checkpoint", head, dir)
		r := fsckRun(t, fsckBroken, "--checkpoint", head, older)
		if p := r.Stores[0].Problems[0]; !strings.Contains(p.What, "older copy") {
			t.Fatalf("%+v", p)
		}
		// The older copy grows differently.
		parts.data, parts.keys = filepath.Join(older, "data"), filepath.Join(older, "keys")
		fillLog(t, parts, 9)
		r = fsckRun(t, fsckBroken, "--checkpoint", head, older)
		if p := r.Stores[0].Problems[0]; !strings.Contains(p.What, "forked") {
			t.Fatalf("%+v", p)
		}
	})

	t.Run("a running gateway is read, not repaired", func(t *testing.T) {
		parts := logParts{origin: "agency.demo.example/log", data: filepath.Join(dir, "data"), keys: filepath.Join(dir, "keys")}
		_, closeLog := openTestLog(t, parts)
		edit(t, file, "UPDATE tiles SET hashes = zeroblob(8192)")
		r := fsckRun(t, fsckBroken, dir)
		if !r.Stores[0].Running || r.Stores[0].Problems[0].Repaired {
			t.Fatalf("%+v", r.Stores[0])
		}
		closeLog()
		fsckRun(t, fsckRepaired, dir)
	})
}

func TestFsckWitness(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "witness")
	if _, err := initWitness(dir, "w.example/1"); err != nil {
		t.Fatal(err)
	}
	fsckRun(t, fsckClean, dir)
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(state, ".abc.checkpoint.XYZ")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	fsckRun(t, fsckBroken, "--read-only", dir)
	fsckRun(t, fsckRepaired, dir)
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(state, strings.Repeat("0", 64)+".checkpoint"), []byte("x\n1\nAAAA\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := fsckRun(t, fsckBroken, dir); len(r.Witnesses[0].Problems) != 1 {
		t.Fatalf("%+v", r.Witnesses[0])
	}
}
