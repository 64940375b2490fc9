package federation_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
)

// removeMunicipality stages a narrowing change.
func (w *world) removeMunicipality() *ceremony.Report {
	w.t.Helper()
	r, err := ceremony.RemoveMember(w.folder, municipality, ceremony.Options{}, w.clock.Now())
	w.must(err)
	return r
}

func refused(t *testing.T, err error, code countersign.Code, says ...string) {
	t.Helper()
	if countersign.CodeOf(err) != code || err == nil {
		t.Fatalf("error %v, want a refusal %q", err, code)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

// Each member can go: nothing that hangs on it keeps the document from being proposed.
func TestRemoveAnyMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, m := range document().Members {
		r, err := ceremony.RemoveMember(w.folder, m.ID, ceremony.Options{Replace: true}, w.clock.Now())
		if err != nil {
			t.Errorf("%s: %v", m.ID, err)
		} else if federation.Widens(r.Changes) {
			t.Errorf("%s: its removal waits:\n%s", m.ID, r)
		}
	}
	_, err := ceremony.RemoveMember(w.folder, countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "9"}, ceremony.Options{Replace: true}, w.clock.Now())
	refused(t, err, countersign.CodeUnknownMember)
}

// A46: below the threshold nothing changes, and the message names who is missing.
func TestThreshold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.removeMunicipality()
	w.sign("assembly", "bar")
	_, err := ceremony.Publish(w.folder, w.clock.Now())
	refused(t, err, countersign.CodeSignature, "2 of 3", "assembly, bar", "1 more needed of ministry, ombudsman, university")
	w.refresh()
	if v := w.view(c); v.Version() != 1 {
		t.Fatalf("two of five changed the directory to version %d", v.Version())
	}
	w.signAndPublish("university")
	w.refresh()
	v := w.view(c)
	if _, there := v.Member(municipality); v.Version() != 2 || there {
		t.Errorf("three of five: version %d, member still there: %t", v.Version(), there)
	}
	if _, err := os.Stat(w.folder.Staged()); !errors.Is(err, os.ErrNotExist) {
		t.Error("the staged folder was not cleared")
	}
}

// One body's key, however often it signs and under whatever name, counts once; a stranger's not at all.
func TestStolenBodyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.removeMunicipality()
	w.sign("bar", "bar", "bar")
	_, err := ceremony.Sign(w.folder.Staged(), keyOf("stranger"), ceremony.SignOptions{}, w.clock.Now())
	refused(t, err, countersign.CodeSignature, "no governing body")
	_, err = ceremony.Sign(w.folder.Staged(), keyOf("timestamp"), ceremony.SignOptions{}, w.clock.Now())
	refused(t, err, countersign.CodeSignature, "no governing body")

	// The thief writes the signature of one key under the names of others.
	path := filepath.Join(w.folder.Staged(), "targets.json")
	m, err := metadata.Targets().FromFile(path)
	w.must(err)
	for _, n := range []string{"assembly", "ministry", "university"} {
		id, err := federation.TUFKeyID(publicKey("body " + n))
		w.must(err)
		m.Signatures = append(m.Signatures, metadata.Signature{KeyID: id, Signature: m.Signatures[0].Signature})
	}
	w.must(m.ToFile(path, false))
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	refused(t, err, countersign.CodeSignature, "1 of 3")

	// And puts the file where the host takes it from.
	raw, err := os.ReadFile(path)
	w.must(err)
	for name, content := range readAll(t, filepath.Join(w.folder.Staged(), "targets")) {
		w.must(put(filepath.Join(w.folder.Approved(), "targets", name), content))
	}
	w.must(put(w.folder.TargetsFile(2), raw))
	if err := w.host.Refresh(t.Context()); err == nil {
		t.Fatal("the host took a document with one signature")
	}
	if v := w.view(w.client(t.TempDir())); v.Version() != 1 {
		t.Errorf("version %d is served", v.Version())
	}
}

// A thief of both online keys and of the web server cannot bring a document of his own to a client.
func TestStolenOnlineKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	w.removeMunicipality()
	w.sign("bar", "university")
	served := filepath.Join(w.folder.Served(), "metadata")
	raw, err := os.ReadFile(filepath.Join(w.folder.Staged(), "targets.json"))
	w.must(err)
	w.must(put(filepath.Join(served, "2.targets.json"), raw))
	for name, content := range readAll(t, filepath.Join(w.folder.Staged(), "targets")) {
		w.must(put(filepath.Join(w.folder.Served(), "targets", name), content))
	}
	s := metadata.Snapshot(start.Add(time.Hour))
	s.Signed.Version = 2
	s.Signed.Meta["targets.json"] = metadata.MetaFile(2)
	w.must(federation.Sign(s, keyOf("snapshot")))
	w.must(s.ToFile(filepath.Join(served, "2.snapshot.json"), false))
	ts := metadata.Timestamp(start.Add(time.Hour))
	ts.Signed.Version = 2
	ts.Signed.Meta["snapshot.json"] = metadata.MetaFile(2)
	w.must(federation.Sign(ts, keyOf("timestamp")))
	w.must(ts.ToFile(filepath.Join(served, "timestamp.json"), false))
	err = c.Poll(t.Context())
	refused(t, err, countersign.CodeStaleDirectory, "not enough signatures")
	if v, err := c.Current(); err != nil || v.Version() != 1 {
		t.Errorf("after a forged targets role: %v", err)
	}
}

func readAll(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		if out[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Each body signs a copy on its own machine and brings its signature back.
func TestSignOnOwnMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.removeMunicipality()
	for i, n := range []countersign.BodyName{"assembly", "ombudsman", "university"} {
		own := filepath.Join(t.TempDir(), "copy")
		w.must(os.CopyFS(own, os.DirFS(w.folder.Staged())))
		r, err := ceremony.Show(own, w.clock.Now())
		w.must(err)
		if !slices.ContainsFunc(r.Changes, func(c federation.Change) bool {
			return c.Kind == federation.ChangeMember && c.What == municipality.String() && c.After == "" && c.Narrowing
		}) {
			t.Errorf("the report does not say that the member goes at once:\n%s", r)
		}
		_, err = ceremony.Sign(own, keyOf("body "+string(n)), ceremony.SignOptions{Trusted: keylessRoot(t, w)}, w.clock.Now())
		refused(t, err, countersign.CodeSignature, "root that you trust")
		_, err = ceremony.Sign(own, keyOf("body "+string(n)), ceremony.SignOptions{Trusted: w.root()}, w.clock.Now())
		w.must(err)
		r, err = ceremony.Merge(w.folder, own, w.clock.Now())
		w.must(err)
		if got := len(r.Approvals[0].Signed); got != i+1 {
			t.Fatalf("after %s: %d signatures", n, got)
		}
	}
	_, err := ceremony.Publish(w.folder, w.clock.Now())
	w.must(err)
}

// keylessRoot is the root of another federation.
func keylessRoot(t *testing.T, w *world) []byte {
	t.Helper()
	other := federation.Folder(filepath.Join(t.TempDir(), "other"))
	bodies := document().Bodies
	w.must(ceremony.Init(other, ceremony.InitOptions{Instance: "OTHER", Bodies: bodies, Snapshot: publicKey("s"), Timestamp: publicKey("t")}, start))
	raw, err := os.ReadFile(filepath.Join(other.Staged(), "root.json"))
	w.must(err)
	return raw
}

func TestMergeOfAnotherProposal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.removeMunicipality()
	own := filepath.Join(t.TempDir(), "copy")
	w.must(os.CopyFS(own, os.DirFS(w.folder.Staged())))
	w.must(ceremony.Withdraw(w.folder))
	_, err := ceremony.ReplaceKey(w.folder, string(pin("tls mun-1")), string(pin("tls mun-1b")), ceremony.Options{}, w.clock.Now())
	w.must(err)
	_, err = ceremony.Merge(w.folder, own, w.clock.Now())
	refused(t, err, countersign.CodeSignature, "another proposal")
}

func TestTamperedStage(t *testing.T) {
	t.Parallel()
	for name, tamper := range map[string]func(t *testing.T, w *world){
		"document": func(t *testing.T, w *world) {
			for file, raw := range readAll(t, filepath.Join(w.folder.Staged(), "targets")) {
				w.must(put(filepath.Join(w.folder.Staged(), "targets", file), append(raw, ' ')))
			}
		},
		"description": func(t *testing.T, w *world) {
			for file, raw := range readAll(t, filepath.Join(w.folder.Staged(), "targets")) {
				if strings.HasSuffix(file, ".yaml") {
					w.must(put(filepath.Join(w.folder.Staged(), "targets", file), append(raw, ' ')))
				}
			}
		},
		"the document in force is dropped": func(_ *testing.T, w *world) {
			path := filepath.Join(w.folder.Staged(), "targets.json")
			m, err := metadata.Targets().FromFile(path)
			w.must(err)
			delete(m.Signed.Targets, federation.OlderDocument(1))
			w.must(m.ToFile(path, false))
		},
		"a lower threshold": func(t *testing.T, w *world) {
			_, err := ceremony.Renew(w.folder, ceremony.Options{Replace: true}, w.clock.Now())
			w.must(err)
			path := filepath.Join(w.folder.Staged(), "root.json")
			m, err := metadata.Root().FromFile(path)
			w.must(err)
			m.Signed.Roles[metadata.TARGETS].Threshold = 1
			w.must(m.ToFile(path, false))
		},
		"another instance in the root": func(t *testing.T, w *world) {
			_, err := ceremony.Renew(w.folder, ceremony.Options{Replace: true}, w.clock.Now())
			w.must(err)
			path := filepath.Join(w.folder.Staged(), "root.json")
			m, err := metadata.Root().FromFile(path)
			w.must(err)
			mark, err := federation.MarkOf(&m.Signed)
			w.must(err)
			mark.Instance = "OTHER"
			w.must(federation.SetMark(&m.Signed, mark))
			w.must(m.ToFile(path, false))
		},
		"another kind of time in the root": func(t *testing.T, w *world) {
			_, err := ceremony.Renew(w.folder, ceremony.Options{Replace: true}, w.clock.Now())
			w.must(err)
			path := filepath.Join(w.folder.Staged(), "root.json")
			m, err := metadata.Root().FromFile(path)
			w.must(err)
			mark, err := federation.MarkOf(&m.Signed)
			w.must(err)
			mark.Demo = !mark.Demo
			w.must(federation.SetMark(&m.Signed, mark))
			w.must(m.ToFile(path, false))
		},
		"effective date": func(_ *testing.T, w *world) {
			path := filepath.Join(w.folder.Staged(), "targets.json")
			raw, err := os.ReadFile(path)
			w.must(err)
			w.must(put(path, []byte(strings.ReplaceAll(string(raw), "2031-05-23", "2031-05-07"))))
		},
		"published document": func(t *testing.T, w *world) {
			for file := range readAll(t, filepath.Join(w.folder.Staged(), "published", "targets")) {
				w.must(put(filepath.Join(w.folder.Staged(), "published", "targets", file), []byte("{}")))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, err := ceremony.Edit(w.folder, addSchoolsGrant, ceremony.Options{}, w.clock.Now())
			w.must(err)
			tamper(t, w)
			if _, err := ceremony.Sign(w.folder.Staged(), keyOf("body bar"), ceremony.SignOptions{}, w.clock.Now()); err == nil {
				t.Error("signed")
			}
			if _, err := ceremony.Publish(w.folder, w.clock.Now()); err == nil {
				t.Error("published")
			}
		})
	}
}

// addSchoolsGrant is a widening change.
func addSchoolsGrant(d *countersign.Directory) error {
	g := &d.Services[0].Grants[0]
	g.Fields = append(g.Fields, "/since")
	return nil
}

func TestProposeRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	now := w.clock.Now()
	d := clone(t, document())
	_, err := ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{}, now)
	if err != nil {
		t.Errorf("the same document signed anew: %v", err)
	}
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{}, now)
	refused(t, err, countersign.CodeBadRequest, "waits for signatures")
	d.Name = en("Another name")
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true}, now)
	refused(t, err, countersign.CodeBadRequest, "published with another content")
	d.Version = 3
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true}, now)
	refused(t, err, countersign.CodeBadRequest, "2 is next")
	d.Version, d.Quorum = 2, 9
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true}, now)
	refused(t, err, countersign.CodeBadRequest, "quorum")
	d.Quorum, d.Bodies[0].Key = 2, spki("stranger")
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true}, now)
	refused(t, err, countersign.CodeBadRequest, "bodies[0]")
	d = clone(t, document())
	d.Version, d.Services[0].OpenAPI = 2, "other.yaml"
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true}, now)
	refused(t, err, countersign.CodeBadRequest, "openapi", "other.yaml")
	d.Services[0].OpenAPI = "person.yaml"
	d.Members = append(d.Members, countersign.Member{ID: countersign.MemberID{Instance: "DEMO", Class: "GOV", Code: "9"}, Text: en("New"), Roles: []countersign.Role{countersign.RolePortal}})
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true, Effective: now.Add(24 * time.Hour)}, now)
	refused(t, err, countersign.CodeBadRequest, "waiting period")
	_, err = ceremony.Propose(w.folder, encode(t, d), nil, ceremony.Options{Replace: true}, now)
	w.must(err)
	// Signatures that took too long leave too short a wait.
	w.sign("bar", "ombudsman", "ministry")
	w.clock.Add(ceremony.SigningWindow + time.Hour)
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	refused(t, err, countersign.CodeBadRequest, "waiting period")
}

// A body's key is rotated; the old one signs nothing any more, and clients follow through several rotations at once.
func TestBodyRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	_, err := ceremony.RotateBody(w.folder, "ministry", publicKey("ministry 2"), ceremony.Options{}, w.clock.Now())
	w.must(err)
	// The body whose key goes may sign the root, not the document.
	w.sign("ministry", "bar", "assembly")
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	refused(t, err, countersign.CodeSignature, "the root: 2 of 3")
	_, err = ceremony.Sign(w.folder.Staged(), keyOf("ministry 2"), ceremony.SignOptions{}, w.clock.Now())
	w.must(err)
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	w.must(err)
	w.refresh()

	_, err = ceremony.RotateBody(w.folder, "bar", publicKey("bar 2"), ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.sign("assembly", "ombudsman", "university")
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	w.must(err)
	w.refresh()
	if v := w.view(c); v.Version() != 3 {
		t.Errorf("version %d after two rotations, want 3", v.Version())
	}
	w.removeMunicipality()
	for _, old := range []string{"body ministry", "body bar"} {
		_, err = ceremony.Sign(w.folder.Staged(), keyOf(old), ceremony.SignOptions{}, w.clock.Now())
		refused(t, err, countersign.CodeSignature, "no governing body")
	}
	if len(w.log.all) != 3+3 {
		t.Errorf("%d announcements, want three roots and three documents", len(w.log.all))
	}
	// A restart without network reads the chain of roots from the folder.
	w.server.Close()
	if _, err := w.client(t.TempDir()).Current(); countersign.CodeOf(err) != countersign.CodeStaleDirectory {
		t.Errorf("a new client without network: %v", err)
	}
}

func TestRotateOnlineAndRenew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	folder := t.TempDir()
	c := w.client(folder)
	w.view(c)
	_, err := ceremony.RotateOnline(w.folder, publicKey("snapshot 2"), publicKey("timestamp 2"), ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.signAndPublish("assembly", "ombudsman", "university")
	err = w.host.Refresh(t.Context())
	refused(t, err, countersign.CodeSignature, "not the one that the root names")
	w.host.Snapshot, w.host.Timestamp = keyOf("snapshot 2"), keyOf("timestamp 2")
	w.refresh()
	if v := w.view(c); v.Version() != 1 {
		t.Errorf("version %d: the document did not change", v.Version())
	}
	// After a restart the kept roots alone lead from the trusted one to the new keys.
	if _, err := w.client(folder).Current(); err != nil {
		t.Errorf("restarted without network after a rotation: %v", err)
	}
	w.clock.Add(300 * 24 * time.Hour)
	_, err = ceremony.Renew(w.folder, ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.signAndPublish("assembly", "ombudsman", "university")
	w.clock.Add(300 * 24 * time.Hour)
	w.refresh()
	w.view(c)
}

// Publishing is repeated after a crash between its steps.
func TestPublishTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := ceremony.RotateBody(w.folder, "bar", publicKey("bar 2"), ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.sign("assembly", "ombudsman", "university")
	kept := filepath.Join(t.TempDir(), "staged")
	w.must(os.CopyFS(kept, os.DirFS(w.folder.Staged())))
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	w.must(err)
	w.must(os.Remove(w.folder.TargetsFile(2))) // as if it had not come so far
	w.must(os.CopyFS(w.folder.Staged(), os.DirFS(kept)))
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	w.must(err)
	w.refresh()
	if v := w.view(w.client(t.TempDir())); v.Version() != 2 {
		t.Errorf("version %d", v.Version())
	}
}

// A signed proposal that others overtook is not published over what they published.
func TestPublishOvertaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.removeMunicipality()
	w.sign("assembly", "ombudsman", "university")
	overtaken := filepath.Join(t.TempDir(), "staged")
	w.must(os.CopyFS(overtaken, os.DirFS(w.folder.Staged())))
	w.must(ceremony.Withdraw(w.folder))
	_, err := ceremony.ReplaceKey(w.folder, string(pin("tls mun-1")), string(pin("tls mun-1b")), ceremony.Options{}, w.clock.Now())
	w.must(err)
	w.signAndPublish("assembly", "bar", "ministry")
	w.must(os.CopyFS(w.folder.Staged(), os.DirFS(overtaken)))
	_, err = ceremony.Publish(w.folder, w.clock.Now())
	refused(t, err, countersign.CodeBadRequest, "something else was published")
}

// Nothing is served before the directory's own log has it (A47).
func TestAnnouncedFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.client(t.TempDir())
	w.view(c)
	w.removeMunicipality()
	w.signAndPublish("assembly", "ombudsman", "university")
	w.log.fail = countersign.Refuse(countersign.CodeStore, "the disk is full")
	w.clock.Add(federation.TimestampRenew)
	err := w.host.Refresh(t.Context())
	refused(t, err, countersign.CodeStore, "not in the directory's log")
	if v := w.view(c); v.Version() != 1 || !v.Expires().After(start.Add(federation.TimestampLife)) {
		t.Errorf("version %d until %s: want the old one, renewed", v.Version(), v.Expires())
	}
	w.log.fail = nil
	w.refresh()
	if v := w.view(c); v.Version() != 2 {
		t.Errorf("version %d once the log works", v.Version())
	}
}
