package federation

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"countersign.dev/countersign"
)

// TargetDocument is the TUF target that holds the newest document. Older documents that still matter (the one in force, and those that wait)
// are targets named federation.VERSION.json beside it.
const TargetDocument = "federation.json"

var documentName = regexp.MustCompile(`\Afederation(\.[0-9]+)?\.json\z`)

// IsDocument reports whether a target's name is that of a directory document, not of a service's description.
func IsDocument(name string) bool { return documentName.MatchString(name) }

// OlderDocument names the target of a document that is not the newest.
func OlderDocument(version uint64) string { return fmt.Sprintf("federation.%d.json", version) }

// Dates are what the bodies sign about a document beside its content, as the target's custom data.
type Dates struct {
	Version uint64 `json:"version"`
	// Announced is when the document was proposed for publication.
	Announced time.Time `json:"announced"`
	// Effective is when its widening changes act. Narrowing ones act as soon as the document is seen.
	Effective time.Time `json:"effective"`
}

// Issue is one signed version of the document.
type Issue struct {
	Dates
	Document *countersign.Directory
	raw      []byte
}

// Raw is the document as it was signed.
func (i Issue) Raw() []byte { return i.raw }

// Digest is SHA-256 of the document as it was signed.
func (i Issue) Digest() countersign.Digest { return sha256.Sum256(i.raw) }

// NewIssue reads a document with its dates. It checks that the two belong together, not the document's sense.
func NewIssue(raw []byte, dates Dates) (Issue, error) {
	d, err := countersign.ParseDirectory(raw)
	if err != nil {
		return Issue{}, err
	}
	if d.Version != dates.Version || d.Version == 0 {
		return Issue{}, countersign.Refuse(countersign.CodeBadRequest, "the document has version %d, but is signed as version %d", d.Version, dates.Version)
	}
	if dates.Announced.IsZero() || dates.Effective.Before(dates.Announced) {
		return Issue{}, countersign.Refuse(countersign.CodeBadRequest, "version %d is signed without dates, or takes effect before it was announced", d.Version)
	}
	return Issue{Dates: dates, Document: d, raw: raw}, nil
}

// ReadIssues reads the documents of a targets role, oldest first; read gives the bytes of a target, verified against its hash.
func ReadIssues(targets map[string]*metadata.TargetFiles, read func(name string, t *metadata.TargetFiles) ([]byte, error)) ([]Issue, error) {
	if targets[TargetDocument] == nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the repository holds no %s", TargetDocument)
	}
	var issues []Issue
	for _, name := range sortedKeys(targets) {
		t := targets[name]
		if !IsDocument(name) {
			continue
		}
		var dates Dates
		if t.Custom == nil {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the target %s is signed without dates", name)
		}
		dec := json.NewDecoder(bytes.NewReader(*t.Custom))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&dates); err != nil {
			return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the dates of the target %s cannot be read", name)
		}
		raw, err := read(name, t)
		if err != nil {
			return nil, err
		}
		issue, err := NewIssue(raw, dates)
		if err != nil {
			return nil, err
		}
		if name != TargetDocument && name != OlderDocument(dates.Version) {
			return nil, countersign.Refuse(countersign.CodeBadRequest, "the target %s holds version %d", name, dates.Version)
		}
		issues = append(issues, issue)
	}
	slices.SortFunc(issues, byVersion)
	newest := issues[len(issues)-1]
	if targets[TargetDocument].Hashes.Equal(metadata.Hashes{"sha256": digestOf(newest.raw)}) {
		return issues, nil
	}
	return nil, countersign.Refuse(countersign.CodeBadRequest, "%s is not the newest document of the repository", TargetDocument)
}

func byVersion(a, b Issue) int {
	switch {
	case a.Version < b.Version:
		return -1
	case a.Version > b.Version:
		return 1
	}
	return 0
}

func digestOf(b []byte) metadata.HexBytes {
	sum := sha256.Sum256(b)
	return sum[:]
}

// Held is an issue as somebody holds it: with the last moment at which they looked and it was not there.
type Held struct {
	Issue
	// Before is the holder's last look at a directory without this issue; zero for one who never looked before. Its widening changes were not
	// public before then, whatever its dates say.
	Before time.Time
}

// InForce gives the document in force at a time and what waits. Issues are one or more, oldest first; the oldest is the document from which the
// others are counted. A widening change acts at its signed date and not before the federation's waiting period has passed since the holder's
// last look without it, so that signers cannot shorten the wait by their dates, and not before older changes that wait. Narrowing changes of
// every issue act at once.
func InForce(issues []Held, now time.Time) (*countersign.Directory, []Waiting, error) {
	if len(issues) == 0 {
		return nil, nil, countersign.Refuse(countersign.CodeStaleDirectory, "no signed directory document is known here")
	}
	at := effectiveDates(issues)
	base := -1
	for i := range issues {
		if !at[i].After(now) {
			base = i
		}
	}
	if base < 0 {
		return nil, nil, countersign.Refuse(countersign.CodeStaleDirectory, "the first document takes effect at %s and there is none before it", at[0].UTC().Format(time.RFC3339))
	}
	d := issues[base].Document
	var waiting []Waiting
	for i := base + 1; i < len(issues); i++ {
		d = Narrow(d, issues[i].Document)
		waiting = append(waiting, Waiting{issues[i].Version, at[i].UTC()})
	}
	return d, waiting, nil
}

// effectiveDates gives when each issue's widening changes act.
func effectiveDates(issues []Held) []time.Time {
	at := make([]time.Time, len(issues))
	for i, x := range issues {
		at[i] = x.Effective
		if i == 0 {
			continue
		}
		before := issues[i-1].Document
		if !x.Before.IsZero() && Widens(Changes(before, x.Document)) {
			at[i] = later(at[i], x.Before.Add(WaitingPeriod(before)))
		}
		at[i] = later(at[i], at[i-1])
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Since drops the issues that no longer matter at a time: all that are older than the newest in force.
func Since(issues []Held, now time.Time) []Held {
	at := effectiveDates(issues)
	for i := len(issues) - 1; i > 0; i-- {
		if !at[i].After(now) {
			return issues[i:]
		}
	}
	return issues
}

// WaitingPeriod is how long widening changes of a document wait in public.
func WaitingPeriod(d *countersign.Directory) time.Duration {
	return time.Duration(effectiveCaps(d.Caps).WaitingPeriod)
}
