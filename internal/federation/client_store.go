package federation

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/fetcher"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"countersign.dev/countersign"
)

// found is a verified state of the repository.
type found struct {
	issues  []Issue
	openapi map[string][]byte
	expires time.Time
	files   trustedFiles
}

// trustedFiles are the three signed files that together prove a state.
type trustedFiles struct {
	Timestamp []byte `json:"timestamp"`
	Snapshot  []byte `json:"snapshot"`
	Targets   []byte `json:"targets"`
}

func (t trustedFiles) equal(o trustedFiles) bool {
	return bytes.Equal(t.Timestamp, o.Timestamp) && bytes.Equal(t.Snapshot, o.Snapshot) && bytes.Equal(t.Targets, o.Targets)
}

// memory is what a client knows from before.
type memory struct {
	Issues   []Held
	LastLook time.Time
	files    trustedFiles
}

// merge adds what the repository shows to what is held. What was once in force or waiting stays part of the reckoning, even when the repository no longer
// lists it: signers cannot make a client forget where it came from.
func (m memory) merge(shown []Issue) ([]Held, error) {
	out := slices.Clone(m.Issues)
	for _, x := range shown {
		i := slices.IndexFunc(out, func(h Held) bool { return h.Version == x.Version })
		switch {
		case i >= 0 && out[i].Digest() != x.Digest():
			return nil, countersign.Refuse(countersign.CodeSignature, "the directory shows another version %d than before", x.Version)
		case i >= 0:
			out[i].Effective = later(out[i].Effective, x.Effective) // what was announced may be put off, never brought forward
		case len(m.Issues) == 0:
			out = append(out, Held{Issue: x}) // a new client takes the dates as they are signed
		case x.Version > m.Issues[len(m.Issues)-1].Version:
			out = append(out, Held{Issue: x, Before: m.LastLook})
		}
	}
	if newest := shown[len(shown)-1].Version; newest < out[len(out)-1].Version {
		return nil, countersign.Refuse(countersign.CodeSignature, "the directory shows version %d, but version %d was seen before", newest, out[len(out)-1].Version)
	}
	return out, nil
}

// chainDigest names the documents that the one in force follows from.
func chainDigest(issues []Held) countersign.Digest {
	h := sha256.New()
	for _, x := range issues {
		d := x.Digest()
		h.Write(d[:])
	}
	return countersign.Digest(h.Sum(nil))
}

// localRepository is a client's folder:
//
//	roots/N.root.json  the chain from the trusted root
//	tuf/               go-tuf's own cache of metadata: what protects from rollback
//	targets/           target files by their SHA-256
//	state.json         the last whole good state and what is remembered with it
type localRepository struct {
	o      ClientOptions
	anchor []byte
	root   []byte // newest verified
}

func openLocalRepository(o ClientOptions) (*localRepository, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "directory url: give the absolute https URL of the directory's host")
	}
	r := &localRepository{o: o, anchor: o.Root}
	trusted, err := trustedmetadata.New(o.Root)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "directory root: the trusted root is not root metadata signed by its own threshold: %s", err)
	}
	if _, err := admitRoot(&trusted.Root.Signed); err != nil {
		return nil, err
	}
	for _, folder := range []string{r.path("roots"), r.path("tuf"), r.path("targets")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("opening the directory's cache: %w", err)
		}
	}
	r.root = o.Root
	r.follow(trusted)
	return r, nil
}

// follow goes from the trusted root along the kept ones as far as they are there and verify; the network has the rest.
func (r *localRepository) follow(trusted *trustedmetadata.TrustedMetadata) {
	for v := trusted.Root.Signed.Version + 1; ; v++ {
		raw, err := os.ReadFile(r.rootFile(v))
		if err != nil {
			return
		}
		if _, err := trusted.UpdateRoot(raw); err != nil {
			return
		}
		r.root = raw
	}
}

func (r *localRepository) path(parts ...string) string {
	return filepath.Join(append([]string{r.o.Folder}, parts...)...)
}

func (r *localRepository) rootFile(version int64) string {
	return r.path("roots", fmt.Sprintf("%d.root.json", version))
}

// fetch runs the TUF client's workflow once against the repository, as it is at now, and reads the targets.
func (r *localRepository) fetch(ctx context.Context, now time.Time) (*found, error) {
	r.dropBroken()
	cfg, err := config.New(strings.TrimSuffix(r.o.URL, "/")+"/metadata", r.root)
	if err != nil {
		return nil, err
	}
	cfg.RemoteTargetsURL = strings.TrimSuffix(r.o.URL, "/") + "/targets"
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = r.path("tuf"), r.path("targets")
	plain := fetcher.NewDefaultFetcher()
	plain.SetHTTPClient(doer(func(req *http.Request) (*http.Response, error) {
		return r.o.HTTP.Do(req.WithContext(ctx)) //nolint:gosec // the operator's configuration names the host, and its word is not trusted
	}))
	roots := &rootKeeper{Fetcher: plain, seen: map[int64][]byte{}}
	cfg.Fetcher = roots
	up, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	// The name warns of letting somebody else set the time: this is the one clock that every part of the gateway judges by.
	up.UnsafeSetRefTime(now)
	refreshed := up.Refresh()
	trusted := up.GetTrustedMetadataSet()
	// Verified roots are kept whatever came after: a key that the bodies revoked stays revoked.
	if err := r.keepRoots(roots.seen, trusted.Root.Signed.Version); err != nil {
		return nil, err
	}
	if refreshed != nil {
		return nil, refreshed
	}
	f := &found{}
	for name, file := range map[string]*[]byte{"timestamp": &f.files.Timestamp, "snapshot": &f.files.Snapshot, "targets": &f.files.Targets} {
		if *file, err = os.ReadFile(r.path("tuf", name+".json")); err != nil {
			return nil, fmt.Errorf("reading the directory's cache: %w", err)
		}
	}
	return f, r.read(f, &trusted, func(name string, t *metadata.TargetFiles) ([]byte, error) {
		path, err := r.targetPath(name, t)
		if err != nil {
			return nil, err
		}
		if _, raw, err := up.FindCachedTarget(t, path); err == nil && raw != nil {
			return raw, nil
		}
		_, raw, err := up.DownloadTarget(t, path, "")
		return raw, err
	})
}

// doer lets the library's fetcher work under a context.
type doer func(*http.Request) (*http.Response, error)

// Do implements the fetcher's client.
func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// rootKeeper remembers the roots that were downloaded, because the updater keeps the last alone.
type rootKeeper struct {
	fetcher.Fetcher
	seen map[int64][]byte
}

var rootURL = regexp.MustCompile(`/([0-9]{1,18})\.root\.json\z`)

// DownloadFile implements fetcher.Fetcher.
func (k *rootKeeper) DownloadFile(file string, most int64, wait time.Duration) ([]byte, error) {
	raw, err := k.Fetcher.DownloadFile(file, most, wait)
	if m := rootURL.FindStringSubmatch(file); m != nil && err == nil {
		if v, err := strconv.ParseInt(m[1], 10, 64); err == nil {
			k.seen[v] = raw
		}
	}
	return raw, err
}

func (r *localRepository) keepRoots(seen map[int64][]byte, verified int64) error {
	for v, raw := range seen {
		if v > verified {
			continue
		}
		if err := WriteFile(r.rootFile(v), raw); err != nil {
			return err
		}
		if v == verified {
			r.root = raw
		}
	}
	return nil
}

// dropBroken removes cached metadata that a crash left unreadable; the updater would stop at it for ever. What proves the last good state is in state.json too.
func (r *localRepository) dropBroken() {
	for _, name := range []string{"timestamp", "snapshot", "targets"} {
		if raw, err := ReadFile(r.path("tuf"), name+".json"); err == nil && !json.Valid(raw) {
			r.o.Log.Warn("unreadable directory metadata is dropped from the cache", "role", name)
			if err := os.Remove(r.path("tuf", name+".json")); err != nil {
				r.o.Log.Error("the directory's cache cannot be mended", "error", err.Error())
			}
		}
	}
}

func (r *localRepository) targetPath(name string, t *metadata.TargetFiles) (string, error) {
	if sum := t.Hashes["sha256"]; codeForm.MatchString(name) && len(t.Hashes) == 1 && len(sum) == sha256.Size {
		return r.path("targets", sum.String()), nil
	}
	return "", countersign.Refuse(countersign.CodeBadRequest, "the target %q has an odd name or another digest than SHA-256 alone", name)
}

// read takes documents, descriptions, marks and expiry out of verified metadata.
func (r *localRepository) read(f *found, trusted *trustedmetadata.TrustedMetadata, target func(string, *metadata.TargetFiles) ([]byte, error)) (err error) {
	targets := trusted.Targets[metadata.TARGETS].Signed
	if f.issues, err = ReadIssues(targets.Targets, target); err != nil {
		return err
	}
	f.openapi = map[string][]byte{}
	for name, t := range targets.Targets {
		if IsDocument(name) {
			continue
		}
		if f.openapi[name], err = target(name, t); err != nil {
			return err
		}
	}
	mark, err := admitRoot(&trusted.Root.Signed)
	if err != nil {
		return err
	}
	if d := f.issues[len(f.issues)-1].Document; d.Instance != mark.Instance || mark.Demo && !d.Demo {
		return countersign.Refuse(countersign.CodeSignature, "the document is of the instance %q (demo %t), its root of %q (demo %t)", d.Instance, d.Demo, mark.Instance, mark.Demo)
	}
	f.expires = trusted.Timestamp.Signed.Expires
	for _, t := range []time.Time{trusted.Snapshot.Signed.Expires, targets.Expires, trusted.Root.Signed.Expires} {
		if t.Before(f.expires) {
			f.expires = t
		}
	}
	return nil
}

// storedState is state.json.
type storedState struct {
	Format   int           `json:"format"` // 1
	LastLook time.Time     `json:"lastLook"`
	Files    trustedFiles  `json:"files"`
	Issues   []storedIssue `json:"issues"`
}

type storedIssue struct {
	Dates
	Before   time.Time `json:"before"`
	Document []byte    `json:"document"`
}

// remember keeps a whole good state in one file, so that no half of it can replace the one before, and drops targets that nothing names any more.
func (r *localRepository) remember(m memory, f found) error {
	s := storedState{Format: 1, LastLook: m.LastLook, Files: f.files}
	for _, x := range m.Issues {
		s.Issues = append(s.Issues, storedIssue{x.Dates, x.Before, x.raw})
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing the directory's cache: %w", err)
	}
	if err := WriteFile(r.path("state.json"), raw); err != nil {
		return err
	}
	targets, err := parseTargets(f.files.Targets)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, t := range targets.Signed.Targets {
		keep[t.Hashes["sha256"].String()] = true
	}
	entries, err := os.ReadDir(r.path("targets"))
	if err != nil {
		return fmt.Errorf("reading the directory's cache: %w", err)
	}
	for _, e := range entries {
		if !keep[e.Name()] {
			if err := os.Remove(r.path("targets", e.Name())); err != nil {
				return fmt.Errorf("tidying the directory's cache: %w", err)
			}
		}
	}
	return nil
}

// loadMemory reads what remember wrote; a folder without it gives an empty memory.
func (r *localRepository) loadMemory() (memory, error) {
	raw, err := os.ReadFile(r.path("state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return memory{}, nil
	}
	if err != nil {
		return memory{}, err
	}
	var s storedState
	if err := json.Unmarshal(raw, &s); err != nil || s.Format != 1 {
		return memory{}, countersign.RefuseBecause(countersign.CodeStore, err, "state.json has another format than 1")
	}
	m := memory{LastLook: s.LastLook, files: s.Files}
	for _, x := range s.Issues {
		issue, err := NewIssue(x.Document, x.Dates)
		if err != nil {
			return memory{}, err
		}
		m.Issues = append(m.Issues, Held{Issue: issue, Before: x.Before})
	}
	return m, nil
}

// verifyCached proves the remembered state anew from the trusted root, as it is at now. It gives nothing for an empty memory.
func (r *localRepository) verifyCached(m memory, now time.Time) (*found, error) {
	if m.files.Timestamp == nil {
		return nil, nil //nolint:nilnil // nothing was cached, which is no failure
	}
	trusted, err := trustedmetadata.New(r.root)
	if err != nil {
		return nil, err
	}
	trusted.RefTime = now
	if _, err := trusted.UpdateTimestamp(m.files.Timestamp); err != nil {
		return nil, err
	}
	if _, err := trusted.UpdateSnapshot(m.files.Snapshot, false); err != nil {
		return nil, err
	}
	if _, err := trusted.UpdateTargets(m.files.Targets); err != nil {
		return nil, err
	}
	f := &found{files: m.files}
	return f, r.read(f, trusted, func(name string, t *metadata.TargetFiles) ([]byte, error) {
		path, err := r.targetPath(name, t)
		if err != nil {
			return nil, err
		}
		raw, err := ReadFile(filepath.Dir(path), filepath.Base(path))
		if err != nil {
			return nil, err
		}
		return raw, t.VerifyLengthHashes(raw)
	})
}
