package federation

import (
	"context"
	"crypto"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
)

// How long the online signatures live, and when they are renewed.
const (
	TimestampLife  = time.Hour
	SnapshotLife   = 24 * time.Hour
	TimestampRenew = 10 * time.Minute
	snapshotRenew  = SnapshotLife / 2
)

// Announcer puts a version of the directory into the directory's own log. Announce returns when the leaf is durable; digest is SHA-256 of the
// signed metadata file, which the leaf commits to. The same version may be announced again after a crash. While it fails the version is not served.
type Announcer interface {
	Announce(ctx context.Context, version uint64, digest countersign.Digest) error
}

// Host is the online half of the directory: it serves nothing but what the threshold has signed, and says each hour with its own keys that this is the
// newest. A thief of its keys can freeze the directory for as long as they are not replaced, and can change nothing in it.
type Host struct {
	Folder    Folder
	Snapshot  crypto.Signer
	Timestamp crypto.Signer
	Clock     clock.Clock
	Announcer Announcer // required
	Log       *slog.Logger

	mu sync.Mutex
}

// Refresh announces and serves what was newly approved, and renews the online signatures. When the log does not take an announcement, the older
// version stays in service with fresh signatures, and the error says so.
func (h *Host) Refresh(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, err := h.Folder.LoadApproval()
	if err != nil {
		return err
	}
	if a.Targets == nil {
		return countersign.Refuse(countersign.CodeStaleDirectory, "nothing was published yet: the bodies sign the first document with the directory's ceremony")
	}
	s, err := h.loadServed()
	if err != nil {
		return err
	}
	promoted := h.promote(ctx, a, s)
	if s.targets == nil {
		return promoted
	}
	return errors.Join(promoted, h.sign(a.Root, s))
}

// served is what clients are given now.
type served struct {
	root      int64
	targets   []byte
	version   int64 // of targets
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]
}

func (h *Host) metadataFile(name string) string {
	return filepath.Join(h.Folder.Served(), "metadata", name)
}

func (h *Host) loadServed() (*served, error) {
	s := &served{}
	var err error
	if s.root, err = newestVersion(filepath.Join(h.Folder.Served(), "metadata"), ".root.json"); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(h.metadataFile("timestamp.json"))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is served: %w", err)
	}
	if s.timestamp, err = metadata.Timestamp().FromBytes(raw); err != nil {
		return nil, fmt.Errorf("reading the served timestamp: %w", err)
	}
	snapshot := fmt.Sprintf("%d.snapshot.json", s.timestamp.Signed.Meta["snapshot.json"].Version)
	if s.snapshot, err = metadata.Snapshot().FromFile(h.metadataFile(snapshot)); err != nil {
		return nil, fmt.Errorf("reading the served snapshot: %w", err)
	}
	s.version = s.snapshot.Signed.Meta["targets.json"].Version
	if s.targets, err = os.ReadFile(h.metadataFile(targetsName(s.version))); err != nil {
		return nil, fmt.Errorf("reading the served targets: %w", err)
	}
	return s, nil
}

// promote brings approved versions into service: first into the log, then to clients. Roots come first, because the targets may need them.
func (h *Host) promote(ctx context.Context, a *Approval, s *served) error {
	for v := s.root + 1; v <= a.Root.Signed.Version; v++ {
		raw, err := os.ReadFile(h.Folder.RootFile(v))
		if err != nil {
			return fmt.Errorf("reading the repository: %w", err)
		}
		if err := h.announce(ctx, v, raw, "root"); err != nil {
			return err
		}
		if err := WriteFile(h.metadataFile(fmt.Sprintf("%d.root.json", v)), raw); err != nil {
			return err
		}
		s.root = v
	}
	if a.Targets.Signed.Version <= s.version {
		return nil
	}
	if err := h.announce(ctx, a.Targets.Signed.Version, a.TargetsBytes, "targets"); err != nil {
		return err
	}
	for name, raw := range a.Files {
		path := filepath.Join(h.Folder.Served(), "targets", HashedName(name, raw))
		if sameFile(path, raw) {
			continue
		}
		if err := WriteFile(path, raw); err != nil {
			return err
		}
	}
	if err := WriteFile(h.metadataFile(targetsName(a.Targets.Signed.Version)), a.TargetsBytes); err != nil {
		return err
	}
	s.targets, s.version = a.TargetsBytes, a.Targets.Signed.Version
	return nil
}

func (h *Host) announce(ctx context.Context, version int64, raw []byte, role string) error {
	digest := countersign.Digest(sha256.Sum256(raw))
	if err := h.Announcer.Announce(ctx, uint64(version), digest); err != nil { //nolint:gosec // versions are counted from 1
		return countersign.RefuseBecause(countersign.CodeOf(err), err, "%s version %d is not in the directory's log yet, so it is not served", role, version)
	}
	h.Log.InfoContext(ctx, "directory version announced", "role", role, "version", version, "digest", digest.String())
	return nil
}

// sign renews the snapshot where it must change or will soon expire, and the timestamp always. The timestamp is written last: until then clients
// see the state before.
func (h *Host) sign(root *metadata.Metadata[metadata.RootType], s *served) error {
	now := h.Clock.Now().UTC().Truncate(time.Second)
	stale := s.snapshot == nil || s.snapshot.Signed.Meta["targets.json"].Version != s.version || s.snapshot.Signed.Expires.Sub(now) < snapshotRenew ||
		root.VerifyDelegate(metadata.SNAPSHOT, s.snapshot) != nil
	if stale {
		next := metadata.Snapshot(now.Add(SnapshotLife))
		if s.snapshot != nil {
			next.Signed.Version = s.snapshot.Signed.Version + 1
		}
		next.Signed.Meta["targets.json"] = fileMeta(s.version, s.targets)
		raw, err := signOnline(root, metadata.SNAPSHOT, next, h.Snapshot)
		if err != nil {
			return err
		}
		if err := WriteFile(h.metadataFile(fmt.Sprintf("%d.snapshot.json", next.Signed.Version)), raw); err != nil {
			return err
		}
		s.snapshot = next
	}
	raw, err := os.ReadFile(h.metadataFile(fmt.Sprintf("%d.snapshot.json", s.snapshot.Signed.Version)))
	if err != nil {
		return fmt.Errorf("reading the served snapshot: %w", err)
	}
	next := metadata.Timestamp(now.Add(TimestampLife))
	if s.timestamp != nil {
		next.Signed.Version = s.timestamp.Signed.Version + 1
	}
	next.Signed.Meta["snapshot.json"] = fileMeta(s.snapshot.Signed.Version, raw)
	if raw, err = signOnline(root, metadata.TIMESTAMP, next, h.Timestamp); err != nil {
		return err
	}
	return WriteFile(h.metadataFile("timestamp.json"), raw)
}

func fileMeta(version int64, raw []byte) *metadata.MetaFiles {
	m := metadata.MetaFile(version)
	m.Length = int64(len(raw))
	m.Hashes = metadata.Hashes{"sha256": digestOf(raw)}
	return m
}

func signOnline[T metadata.Roles](root *metadata.Metadata[metadata.RootType], role string, m *metadata.Metadata[T], key crypto.Signer) ([]byte, error) {
	if err := Sign(m, key); err != nil {
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	if err := root.VerifyDelegate(role, m); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeSignature, err, "this host's key for %s is not the one that the root names: give the host its current keys", role)
	}
	return m.ToBytes(false)
}

// due says whether there is anything to do: something newly approved, or a timestamp that is due for renewal.
func (h *Host) due() (bool, error) {
	s, err := h.loadServed()
	if err != nil || s.timestamp == nil {
		return true, err
	}
	root, err := newestVersion(h.Folder.Approved(), ".root.json")
	if err != nil {
		return true, err
	}
	targets, err := newestVersion(h.Folder.Approved(), ".targets.json")
	if err != nil {
		return true, err
	}
	signed := s.timestamp.Signed.Expires.Add(-TimestampLife)
	return root > s.root || targets > s.version || h.Clock.Now().Sub(signed) >= TimestampRenew, nil
}

// Run keeps the directory fresh until ctx ends: it looks every so often, a few seconds, for newly approved versions and renews the signatures in
// time. Failures are logged and tried again.
func (h *Host) Run(ctx context.Context, every time.Duration) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		due, err := h.due()
		if err == nil && due {
			err = h.Refresh(ctx)
		}
		if err != nil && ctx.Err() == nil {
			h.Log.ErrorContext(ctx, "the directory was not refreshed; trying again", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Fresh tells whether clients can use what is served now; nil says yes. It is the host's readiness.
func (h *Host) Fresh() error {
	s, err := h.loadServed()
	if err != nil {
		return err
	}
	if s.timestamp == nil {
		return countersign.Refuse(countersign.CodeStaleDirectory, "nothing is served yet")
	}
	if s.timestamp.Signed.IsExpired(h.Clock.Now()) {
		return countersign.Refuse(countersign.CodeStaleDirectory, "the served timestamp expired at %s", s.timestamp.Signed.Expires.UTC().Format(time.RFC3339))
	}
	return nil
}
