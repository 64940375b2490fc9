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
	Key          directoryKeyCmd          `cmd:"" help:"Make a governing body's key file, and print its public key."`
	Init         directoryInitCmd         `cmd:"" help:"Stage the first root: the bodies' keys, the threshold, the host's online key."`
	Propose      directoryProposeCmd      `cmd:"" help:"Stage a document for the bodies to sign; show what it would change."`
	Show         directoryShowCmd         `cmd:"" help:"Show in words what is staged and whose signatures it has, or what is published."`
	Sign         directorySignCmd         `cmd:"" help:"Add one body's signature to a staged folder, or to a copy of it on the body's own machine."`
	Merge        directoryMergeCmd        `cmd:"" help:"Bring a copy's signatures back to the staged folder."`
	Publish      directoryPublishCmd      `cmd:"" help:"Hand what the threshold has signed to the directory's host."`
	RemoveMember directoryRemoveCmd       `cmd:"" help:"Stage the removal of a member; it acts within an hour of being published."`
	ReplaceKey   directoryReplaceCmd      `cmd:"" help:"Stage the replacement of a compromised key; it acts within an hour of being published."`
	Successor    directorySuccessorCmd    `cmd:"" help:"Stage the announcement that a gateway's log has ended and which one takes over; it acts once published."`
	RotateBody   directoryRotateBodyCmd   `cmd:"" help:"Stage a root in which a governing body has another key."`
	RotateOnline directoryRotateOnlineCmd `cmd:"" help:"Stage a root with another online key of the directory's host."`
	Renew        directoryRenewCmd        `cmd:"" help:"Stage root and document as they are with a new expiry; due once a year."`
	Withdraw     directoryWithdrawCmd     `cmd:"" help:"Drop the staged proposal with its signatures."`
	Serve        directoryServeCmd        `cmd:"" help:"Publish the directory, each version a leaf of its own witnessed log."`
}

// folderFlag is the repository on the directory's host, or for a body a copy of its staged folder.
type folderFlag struct {
	Dir string `required:"" help:"The directory's folder." placeholder:"DIR" type:"path"`
}

func (f folderFlag) folder() federation.Folder { return federation.Folder(f.Dir) }

type reportFlag struct {
	JSON bool `help:"Print the report as JSON."`
}

func (f reportFlag) print(s streams, r fmt.Stringer) error {
	if f.JSON {
		return json.NewEncoder(s.out).Encode(r)
	}
	_, err := fmt.Fprint(s.out, r.String())
	return err
}

type directoryKeyCmd struct {
	File string `arg:"" help:"Where to write the key; an existing key is kept." type:"path"`
}

// Help says where the key belongs.
func (*directoryKeyCmd) Help() string {
	return "Each body runs this on its own machine and hands over the public key alone. The file holds the key unencrypted, readable by its owner only: keep it on a medium that lies in a safe, or use a " +
		"key in hardware, which sign --key takes as pkcs11: in a build with that tag."
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

// Help says what comes next.
func (*directoryInitCmd) Help() string {
	return "Run once, on the host, for an empty folder. Then: propose the first document; give each body a copy of DIR/staged; each looks at it with show and adds its signature with sign; merge the copies; publish. " +
		"The first root is what gateways and witnesses are given to trust, by a way of its own and never from the host."
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
	OpenAPI   string    `name:"openapi" help:"Folder of OpenAPI descriptions, by the names that the document gives." type:"existingdir" placeholder:"DIR"`
	Effective time.Time `help:"When widening changes act; the waiting period from now, if not given." placeholder:"RFC3339"`
	Replace   bool      `help:"Drop what is staged already."`
}

// Help says what waits.
func (*directoryProposeCmd) Help() string {
	return "The whole document is proposed, as it is to be. What narrows, removes, or puts a key in another's place acts once published; whatever else changes waits in public, two weeks or as long as the caps say, " +
		"and three days more for signing unless --effective says when."
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
	Staged string `required:"" xor:"what" help:"The staged folder (DIR/staged), or a copy of it: what it would change, and whose signatures it has." type:"existingdir" placeholder:"DIR"`
	Dir    string `required:"" xor:"what" help:"The directory's folder: what is published, what waits, and when the bodies must sign again." type:"existingdir" placeholder:"DIR"`
}

// Run shows a proposal, or what is published.
func (c *directoryShowCmd) Run(s streams) error {
	if c.Dir == "" {
		r, err := ceremony.Show(c.Staged, clock.Default().Now())
		if err != nil {
			return err
		}
		return c.print(s, r)
	}
	state, err := ceremony.ShowPublished(federation.Folder(c.Dir), clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, state)
}

type directorySignCmd struct {
	reportFlag
	Staged  string `required:"" help:"The staged folder (DIR/staged), or a copy of it." type:"existingdir" placeholder:"DIR"`
	Key     string `required:"" help:"The body's key: a file, or pkcs11: in a build with that tag." placeholder:"KEY"`
	Trusted string `aliases:"root" help:"A root that the body trusts from before, any version of it: the proposal must follow from it." type:"existingfile" placeholder:"FILE"`
}

// Help says what is judged.
func (*directorySignCmd) Help() string {
	return "The folder proves itself: it holds what is published, and the proposal is judged against that and against every rule of the form, the matrix and the policies, before anything is signed. " +
		"Read what show says first; what this prints is what was signed. With --trusted the published state must also follow from a root that the body kept from before."
}

// Run judges a proposal and signs it.
func (c *directorySignCmd) Run(s streams) error {
	key, err := keys.Open(keySpec(c.Key))
	if err != nil {
		return err
	}
	o := ceremony.SignOptions{Judge: judge}
	if c.Trusted != "" {
		if o.Trusted, err = os.ReadFile(c.Trusted); err != nil {
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

// Help says what is taken.
func (*directoryMergeCmd) Help() string {
	return "A copy of another proposal is refused; signatures that are not valid are left out, and the report shows whose are there. root.json and targets.json of the copy are enough."
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

// Help says what follows.
func (*directoryPublishCmd) Help() string {
	return "Without the threshold nothing changes, and it says whose signatures are missing. The host that serves the folder finds the new version by itself within seconds, puts it into the directory's own log, and serves it. " +
		"May be repeated after a crash."
}

// Run publishes what the threshold has signed, or says whose signatures are missing.
func (c *directoryPublishCmd) Run(s streams) error {
	r, err := ceremony.Publish(c.folder(), clock.Default().Now())
	if err != nil {
		return err
	}
	return c.print(s, r)
}

// stageFlags are those of every command that stages a proposal upon what is published.
type stageFlags struct {
	folderFlag
	reportFlag
	Replace bool `help:"Drop what is staged already, with its signatures."`
}

// stage stages a proposal and shows it.
func (f stageFlags) stage(s streams, propose func(federation.Folder, ceremony.Options, time.Time) (*ceremony.Report, error)) error {
	r, err := propose(f.folder(), ceremony.Options{Replace: f.Replace}, clock.Default().Now())
	if err != nil {
		return err
	}
	return f.print(s, r)
}

type directoryRemoveCmd struct {
	stageFlags
	Member countersign.MemberID `arg:"" help:"INSTANCE/CLASS/CODE."`
}

// Help says what goes with a member.
func (*directoryRemoveCmd) Help() string {
	return "What hangs on the member goes with it: its services, what others were granted for it alone, its standing declarations, programmes, issuers and courts. " +
		"The bodies sign and publish as ever. Nothing waits: gateways look at least each minute, and one that cannot reach the directory stops within the hour."
}

// Run stages a removal.
func (c *directoryRemoveCmd) Run(s streams) error {
	return c.stage(s, func(f federation.Folder, o ceremony.Options, now time.Time) (*ceremony.Report, error) {
		return ceremony.RemoveMember(f, c.Member, o, now)
	})
}

type directoryReplaceCmd struct {
	stageFlags
	Old string `arg:"" help:"The key as the document lists it."`
	New string `arg:"" help:"Its replacement, in the same spelling."`
}

// Help says which keys these are.
func (*directoryReplaceCmd) Help() string {
	return "The key is a TLS pin or signing key of a gateway, a court's key, or the verifier key of a log or witness, in the document's own spelling; gateway init and witness init print theirs. " +
		"The key of a governing body is changed with rotate-body, the host's online key with rotate-online."
}

// Run stages a replacement.
func (c *directoryReplaceCmd) Run(s streams) error {
	return c.stage(s, func(f federation.Folder, o ceremony.Options, now time.Time) (*ceremony.Report, error) {
		return ceremony.ReplaceKey(f, c.Old, c.New, o, now)
	})
}

type directoryRotateBodyCmd struct {
	stageFlags
	Body countersign.BodyName `arg:"" help:"The body, by the name that the document gives it."`
	Key  string               `arg:"" help:"Its new public key, as directory key prints it." placeholder:"PUBLICKEY"`
}

// Help says who signs.
func (*directoryRotateBodyCmd) Help() string {
	return "The threshold of today's bodies signs the new root, the old key among them or not, and the threshold of the new root's bodies signs it and the document. " +
		"A body whose key is lost is thus given another by the others."
}

// Run stages a root.
func (c *directoryRotateBodyCmd) Run(s streams) error {
	pub, err := keys.PublicKeyText(c.Key).Parse()
	if err != nil {
		return err
	}
	return c.stage(s, func(f federation.Folder, o ceremony.Options, now time.Time) (*ceremony.Report, error) {
		return ceremony.RotateBody(f, c.Body, pub, o, now)
	})
}

type directoryRotateOnlineCmd struct {
	stageFlags
	Online string `required:"" help:"The host's next online key file; made if missing." type:"path" placeholder:"FILE"`
}

// Help says when the key changes.
func (*directoryRotateOnlineCmd) Help() string {
	return "The key signs freshness alone: a thief of it can keep a newer directory from being seen, until this is published. Once it is, start directory serve anew with --online FILE; " +
		"the old key signs nothing that anybody accepts."
}

// Run stages a root.
func (c *directoryRotateOnlineCmd) Run(s streams) error {
	online, err := ensureKey(c.Online)
	if err != nil {
		return err
	}
	return c.stage(s, func(f federation.Folder, o ceremony.Options, now time.Time) (*ceremony.Report, error) {
		return ceremony.RotateOnline(f, online.Public(), online.Public(), o, now)
	})
}

type directoryRenewCmd struct{ stageFlags }

// Help says when it is due.
func (*directoryRenewCmd) Help() string {
	return "Signed roots and documents live a year. Every published change of the document renews the document, and every root the root; a directory that nobody changes is renewed with this, " +
		"well before the date that directory show --dir tells. After it gateways refuse to work."
}

// Run stages the same with new dates.
func (c *directoryRenewCmd) Run(s streams) error { return c.stage(s, ceremony.Renew) }

type directoryWithdrawCmd struct{ folderFlag }

// Run drops the proposal.
func (c *directoryWithdrawCmd) Run(context.Context) error { return ceremony.Withdraw(c.folder()) }
