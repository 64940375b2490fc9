package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/mandate"
)

type directoryCmd struct {
	Key          directoryKeyCmd      `cmd:"" help:"Make a governing body's key file, and print its public key."`
	Init         directoryInitCmd     `cmd:"" help:"Stage the first root: the bodies' keys, the threshold, the host's online keys."`
	Propose      directoryProposeCmd  `cmd:"" help:"Stage a document for the bodies to sign; show what it would change."`
	Show         directoryShowCmd     `cmd:"" help:"Show in words what is staged, and whose signatures it has."`
	Sign         directorySignCmd     `cmd:"" help:"Add one body's signature to a staged folder, or to a copy of it on the body's own machine."`
	Merge        directoryMergeCmd    `cmd:"" help:"Bring a copy's signatures back to the staged folder."`
	Publish      directoryPublishCmd  `cmd:"" help:"Hand what the threshold has signed to the directory's host."`
	RemoveMember directoryRemoveCmd   `cmd:"" help:"Stage the removal of a member; it acts within an hour of being published."`
	ReplaceKey   directoryReplaceCmd  `cmd:"" help:"Stage the replacement of a compromised key; it acts within an hour of being published."`
	Withdraw     directoryWithdrawCmd `cmd:"" help:"Drop the staged proposal."`
	Serve        directoryServeCmd    `cmd:"" help:"Publish the directory, each version a leaf of its own witnessed log."`
}

// folderFlag is the repository on the directory's host, or for a body a copy of its staged folder.
type folderFlag struct {
	Dir string `required:"" help:"The directory's folder." placeholder:"DIR" type:"path"`
}

func (f folderFlag) folder() federation.Folder { return federation.Folder(f.Dir) }

type reportFlag struct {
	JSON bool `help:"Print the report as JSON."`
}

func (f reportFlag) print(s streams, r *ceremony.Report) error {
	if f.JSON {
		return json.NewEncoder(s.out).Encode(r)
	}
	_, err := fmt.Fprint(s.out, r.String())
	return err
}

type directoryKeyCmd struct {
	File string `arg:"" help:"Where to write the key; an existing key is kept." type:"path"`
}

// Run makes a key once.
func (c *directoryKeyCmd) Run(s streams) error {
	key, err := ensureKey(c.File)
	if err != nil {
		return err
	}
	text, err := keys.EncodePublicKey(key.Public())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.out, text)
	return err
}

type directoryInitCmd struct {
	folderFlag
	Document  string `required:"" help:"JSON of the first document: its bodies are the signers." type:"existingfile" placeholder:"FILE"`
	Threshold int    `default:"3" help:"How many bodies must sign."`
	Online    string `required:"" help:"Key file of the directory's host; made if missing." type:"path" placeholder:"FILE"`
}

// Run stages the first root. The document itself is proposed next.
func (c *directoryInitCmd) Run(s streams) error {
	d, err := readDocument(c.Document)
	if err != nil {
		return err
	}
	online, err := ensureKey(c.Online)
	if err != nil {
		return err
	}
	o := ceremony.InitOptions{Instance: d.Instance, Bodies: d.Bodies, Threshold: c.Threshold, Snapshot: online.Public(), Timestamp: online.Public()}
	if err := ceremony.Init(c.folder(), o, clock.Default().Now()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "The first root is staged: %d of %d bodies must sign it. Propose the first document next.\n", c.Threshold, len(d.Bodies))
	return err
}

func readDocument(file string) (*countersign.Directory, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return countersign.ParseDirectory(text)
}

// judge is what a body's own machine checks of a document before it signs: that it makes sense, and that its rules compile.
func judge(d *countersign.Directory) error {
	if err := federation.Check(d); err != nil {
		return err
	}
	return errors.Join(mandate.Check(d)...)
}

type directoryProposeCmd struct {
	folderFlag
	reportFlag
	Document  string    `required:"" help:"JSON of the document, its version one higher than the published one." type:"existingfile" placeholder:"FILE"`
	OpenAPI   string    `help:"Folder of OpenAPI descriptions, by the names that the document gives." type:"existingdir" placeholder:"DIR"`
	Effective time.Time `help:"When widening changes act; the waiting period from now, if not given." placeholder:"RFC3339"`
	Replace   bool      `help:"Drop what is staged already."`
}

// Run stages a document and shows what it would change.
func (c *directoryProposeCmd) Run(s streams) error {
	text, err := os.ReadFile(c.Document)
	if err != nil {
		return err
	}
	d, err := countersign.ParseDirectory(text)
	if err != nil {
		return err
	}
	if err := judge(d); err != nil {
		return err
	}
	descriptions, err := readDescriptions(c.OpenAPI)
	if err != nil {
		return err
	}
	r, err := ceremony.Propose(c.folder(), text, descriptions, ceremony.Options{Effective: c.Effective, Replace: c.Replace}, clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

func readDescriptions(folder string) (map[string][]byte, error) {
	out := map[string][]byte{}
	if folder == "" {
		return out, nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if out[e.Name()], err = os.ReadFile(filepath.Join(folder, e.Name())); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type directoryShowCmd struct {
	reportFlag
	Staged string `required:"" help:"The staged folder (DIR/staged), or a copy of it." type:"existingdir" placeholder:"DIR"`
}

// Run shows a proposal.
func (c *directoryShowCmd) Run(s streams) error {
	r, err := ceremony.Show(c.Staged, clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

type directorySignCmd struct {
	reportFlag
	Staged string `required:"" help:"The staged folder (DIR/staged), or a copy of it." type:"existingdir" placeholder:"DIR"`
	Key    string `required:"" help:"The body's key: a file, or pkcs11: in a build with that tag." placeholder:"KEY"`
	Root   string `help:"A root that the body trusts from before: the proposal must follow from it." type:"existingfile" placeholder:"FILE"`
}

// Run judges a proposal and signs it.
func (c *directorySignCmd) Run(s streams) error {
	key, err := keys.Open(keySpec(c.Key))
	if err != nil {
		return err
	}
	o := ceremony.SignOptions{Judge: judge}
	if c.Root != "" {
		if o.Trusted, err = os.ReadFile(c.Root); err != nil {
			return err
		}
	}
	r, err := ceremony.Sign(c.Staged, key, o, clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

func keySpec(text string) string {
	if strings.Contains(text, ":") {
		return text
	}
	return "file:" + text
}

type directoryMergeCmd struct {
	folderFlag
	reportFlag
	Copy string `required:"" help:"The signed copy of the staged folder." type:"existingdir" placeholder:"DIR"`
}

// Run merges signatures.
func (c *directoryMergeCmd) Run(s streams) error {
	r, err := ceremony.Merge(c.folder(), c.Copy, clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

type directoryPublishCmd struct {
	folderFlag
	reportFlag
}

// Run publishes what the threshold has signed, or says whose signatures are missing.
func (c *directoryPublishCmd) Run(s streams) error {
	r, err := ceremony.Publish(c.folder(), clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

type directoryRemoveCmd struct {
	folderFlag
	reportFlag
	Member countersign.MemberID `arg:"" help:"INSTANCE/CLASS/CODE."`
}

// Run stages a removal.
func (c *directoryRemoveCmd) Run(s streams) error {
	r, err := ceremony.RemoveMember(c.folder(), c.Member, ceremony.Options{}, clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

type directoryReplaceCmd struct {
	folderFlag
	reportFlag
	Old string `arg:"" help:"The key as the document lists it."`
	New string `arg:"" help:"Its replacement."`
}

// Run stages a replacement.
func (c *directoryReplaceCmd) Run(s streams) error {
	r, err := ceremony.ReplaceKey(c.folder(), c.Old, c.New, ceremony.Options{}, clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

type directoryWithdrawCmd struct{ folderFlag }

// Run drops the proposal.
func (c *directoryWithdrawCmd) Run(context.Context) error { return ceremony.Withdraw(c.folder()) }
