package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/identity"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
)

// officeConfig is DIR/office.json of a court or an overseer: who it is and where it is reached. Its keys are in DIR/keys, its log in DIR/data.
type officeConfig struct {
	Name      string                `json:"name"`
	Member    countersign.MemberID  `json:"member"`
	Origin    countersign.LogOrigin `json:"origin"`
	URL       string                `json:"url"`    // public: the log below /log, lists beside it
	Listen    string                `json:"listen"` // of the public address
	Desk      string                `json:"desk"`   // on loopback: where the office's own people work, with the token in DIR/desk.token
	Admin     string                `json:"admin"`
	Peer      string                `json:"peer,omitempty"` // of an overseer: where gateways, known by their keys, read its log as it grows
	Directory string                `json:"directory"`
	Root      string                `json:"root"`

	dir string
}

// officeFlags are the flags with which an office begins.
type officeFlags struct {
	Dir       string                `required:"" help:"Folder of the office: keys, log and configuration." type:"path" placeholder:"DIR"`
	Name      string                `required:"" help:"Name in the directory." placeholder:"NAME"`
	Member    string                `required:"" help:"INSTANCE/CLASS/CODE." placeholder:"ID"`
	Origin    countersign.LogOrigin `required:"" help:"Name of the office's own log; it never changes." placeholder:"NAME"`
	URL       string                `required:"" help:"Address at which everybody reaches the office's log and lists." placeholder:"URL"`
	Listen    string                `required:"" help:"Address to serve that on." placeholder:"HOST:PORT"`
	Desk      string                `required:"" help:"Address on loopback at which the office's own people work." placeholder:"HOST:PORT"`
	Admin     string                `required:"" help:"Address of /healthz, /readyz and /metrics." placeholder:"HOST:PORT"`
	Directory string                `required:"" help:"Address of the signed directory." placeholder:"URL"`
	Root      string                `required:"" help:"The directory's root that this office trusts." type:"path" placeholder:"FILE"`
}

// begin makes keys, log and configuration where they are missing, and gives the log's verifier key.
func (f *officeFlags) begin(ctx context.Context, why, peer string) (*officeConfig, string, error) {
	member, err := countersign.ParseMemberID(f.Member)
	if err != nil {
		return nil, "", fmt.Errorf("--member: %w", err)
	}
	if !onLoopback(f.Desk) {
		return nil, "", countersign.Refuse(countersign.CodeBadRequest, "--desk %q is reached from other machines: the desk listens on loopback alone", f.Desk)
	}
	o := &officeConfig{
		Name: f.Name, Member: member, Origin: f.Origin, URL: strings.TrimRight(f.URL, "/"), Listen: f.Listen, Desk: f.Desk, Admin: f.Admin,
		Directory: f.Directory, Root: f.Root, Peer: peer, dir: f.Dir,
	}
	vkey, err := beginLog(ctx, o.logParts(), why)
	if err != nil {
		return nil, "", err
	}
	if _, err := ensureKey(o.key()); err != nil {
		return nil, "", err
	}
	if _, err := os.Stat(o.tokenFile()); errors.Is(err, os.ErrNotExist) {
		var raw [32]byte
		_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
		if err := os.WriteFile(o.tokenFile(), []byte(base64.RawURLEncoding.EncodeToString(raw[:])+"\n"), 0o600); err != nil {
			return nil, "", err
		}
	}
	text, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return nil, "", err
	}
	return o, vkey, federation.WriteFile(filepath.Join(f.Dir, "office.json"), append(text, '\n'))
}

func loadOffice(dir string) (*officeConfig, error) {
	text, err := readSmall(filepath.Join(dir, "office.json"))
	if err != nil {
		return nil, err
	}
	o := &officeConfig{dir: dir}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(o); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the office's configuration in %s cannot be read", dir)
	}
	return o, nil
}

func (o *officeConfig) logParts() logParts {
	return logParts{origin: o.Origin, data: filepath.Join(o.dir, "data"), keys: filepath.Join(o.dir, "keys")}
}
func (o *officeConfig) key() string       { return filepath.Join(o.dir, "keys", keySign) }
func (o *officeConfig) tlsKey() string    { return filepath.Join(o.dir, "keys", keyTLS) }
func (o *officeConfig) tokenFile() string { return filepath.Join(o.dir, "desk.token") }

// publicKey is the key of the office's signatures as the directory lists it.
func (o *officeConfig) publicKey() (string, error) {
	key, err := keys.Load(o.key())
	if err != nil {
		return "", err
	}
	text, err := keys.EncodePublicKey(key.Public())
	return string(text), err
}

// office is a running court or overseer: its log, its key, its directory.
type office struct {
	*officeConfig
	log       *ledger.Log
	key       keys.Signer
	directory *federation.Client
	now       clock.Clock
	logger    *slog.Logger
	mu        sync.Mutex // one act at a time, so that each sees what the last one did
}

// serve opens the office and serves its public lists and its desk until ctx ends.
func (o *officeConfig) serve(ctx context.Context, s streams, open func(context.Context, *office) (public, desk http.Handler, err error)) (err error) {
	ctx = untilInputEnds(ctx)
	now := clock.Default()
	logger := slog.New(slog.NewJSONHandler(s.err, nil)).With("office", o.Name)
	key, err := keys.Load(o.key())
	if err != nil {
		return err
	}
	token, err := readLine(o.tokenFile())
	if err != nil {
		return err
	}
	directory, err := openDirectory(o.Root, o.Directory, filepath.Join(o.dir, "data", "directory"), now, logger)
	if err != nil {
		return err
	}
	metrics := prometheus.NewRegistry()
	log, closeLog, err := openLog(ctx, o.logParts(), now, logger, metrics, directory)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeLog()) }()
	public, desk, err := open(ctx, &office{officeConfig: o, log: log, key: key, directory: directory, now: now, logger: logger})
	if err != nil {
		return err
	}
	go func() {
		if err := directory.Run(ctx); err != nil {
			logger.Error("the directory is no longer followed", "error", err.Error())
		}
	}()
	var peers *tls.Config
	peer := http.StripPrefix("/log", log.Handler(ledger.ViewParty))
	if o.Peer != "" {
		if peers, err = o.peers(directory); err != nil {
			return err
		}
		// The watchers are watched: a person's query about the office's log is answered like any gateway's.
		signer, err := keys.NewBatchSigner(key)
		if err != nil {
			return err
		}
		defer signer.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is left to sign
		g := &exchange.Gateway{Member: o.Member, Name: deskGateway, Directory: directory, Log: log, Clock: now, Logger: logger}
		peer = peopleFirst(newDesk(g, directory, identity.NewVerifier(issuersOf(directory), nil, now), signer), peer)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /log/", http.StripPrefix("/log", log.Handler(ledger.ViewPublic)))
	mux.Handle("/", public)
	return serveAll(ctx, logger, []listener{
		{name: "public", address: o.Listen, handler: mux},
		{name: "peer", address: o.Peer, handler: peer, tls: peers},
		{name: "desk", address: o.Desk, handler: withToken(token, desk)},
		{name: "admin", address: o.Admin, handler: adminHandler(metrics, func() error { return ready(directory, log) })},
	})
}

// publish gives out a list that the office has signed, or could not sign.
func (o *office) publish(w http.ResponseWriter, kind, list string, err error) {
	if err != nil {
		o.logger.Error("the office's list cannot be signed", "list", kind, "error", err.Error())
		http.Error(w, "the list cannot be signed", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(list))
}

// deskGateway is the name of an office's gateway in the directory.
const deskGateway countersign.GatewayName = "desk"

// peers admits the keys of the directory's gateways.
func (o *officeConfig) peers(directory *federation.Client) (*tls.Config, error) {
	cert, err := keys.LoadSelfSigned(o.tlsKey())
	if err != nil {
		return nil, err
	}
	return keys.PinnedServer(cert, func(pin keys.SPKIDigest) error {
		view, err := directory.Current()
		if err != nil {
			return err
		}
		if _, ok := view.GatewayByPin(pin); !ok {
			return countersign.Refuse(countersign.CodeUnauthenticated, "the key belongs to no gateway of the directory")
		}
		return nil
	}), nil
}

// withToken lets in who holds the desk's token, which only the office's own account can read.
func withToken(token string, next http.Handler) http.Handler {
	want := []byte("Bearer " + token)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), want) != 1 {
			deskAnswer(w, nil, countersign.Refuse(countersign.CodeUnauthenticated, "the desk is for the office's own people: show its token"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deskRefusal is a refusal as the desk tells it.
type deskRefusal struct {
	Code    countersign.Code `json:"code"`
	Message string           `json:"message"`
}

const maxDeskBody = 1 << 20

// deskHandler turns a function into a desk's operation: JSON in, JSON out.
func deskHandler[In, Out any](act func(context.Context, *In) (*Out, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := new(In)
		dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxDeskBody))
		dec.DisallowUnknownFields()
		if err := dec.Decode(in); err != nil {
			deskAnswer(w, nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the desk cannot read what was asked of it"))
			return
		}
		out, err := act(r.Context(), in)
		deskAnswer(w, out, err)
	})
}

func deskAnswer(w http.ResponseWriter, out any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		out = deskRefusal{countersign.CodeOf(err), countersign.MessageOf(err)}
	}
	_ = json.NewEncoder(w).Encode(out) // whoever hung up asks again
}

// atDesk asks the running office of a folder to act.
func atDesk[Out any](ctx context.Context, dir, path string, in any) (*Out, error) {
	o, err := loadOffice(dir)
	if err != nil {
		return nil, err
	}
	token, err := readLine(o.tokenFile())
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+o.Desk+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := (&http.Client{Timeout: 90 * time.Second}).Do(req)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeNetwork, err, "the office in %s does not run: start it with its serve command", dir)
	}
	defer res.Body.Close()
	if text, err = io.ReadAll(io.LimitReader(res.Body, 4*maxDeskBody)); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		var no deskRefusal
		if err := json.Unmarshal(text, &no); err != nil {
			return nil, countersign.Refuse(countersign.CodeNetwork, "the office answers %s", res.Status)
		}
		return nil, countersign.Refuse(no.Code, "%s", no.Message)
	}
	out := new(Out)
	return out, json.Unmarshal(text, out)
}

// register puts a mandate's digest into the office's log, waits until witnesses have cosigned it, and gives the proof.
//
// SPEC: docs/spec/mandate.md: a leaf of the kind mandate whose commitment is the token's SHA-256.
func (o *office) register(ctx context.Context, kind countersign.MandateKind, digest countersign.Digest, note any) (*countersign.Receipt, error) {
	text, err := json.Marshal(note)
	if err != nil {
		return nil, err
	}
	return registerIn(ctx, o.log, o.now.Now(), kind, countersign.Commitment(digest), text)
}

func registerIn(ctx context.Context, log *ledger.Log, at time.Time, kind countersign.MandateKind, c countersign.Commitment, note []byte) (*countersign.Receipt, error) {
	placed, err := log.Append(ctx, ledger.Entry{
		Leaf:   &countersign.Leaf{Kind: countersign.LeafMandate, Hour: countersign.HourOf(at), Mandate: kind, Commitment: c},
		Record: &ledger.Record{Note: note}, Expires: at.Add(officeRecordLife),
	})
	if err != nil {
		return nil, err
	}
	if err := log.WaitCosigned(ctx, placed.Index); err != nil {
		return nil, err
	}
	receipt := placed.Receipt(nil, nil)
	receipt.Proof, err = log.Proof(ctx, placed.Index)
	return receipt, err
}

// officeRecordLife is how long an office keeps what it decided, as long as access records.
const officeRecordLife = 3653 * 24 * time.Hour

// notes reads every note of the office's log, oldest first.
func (o *office) notes(ctx context.Context) ([][]byte, error) {
	var out [][]byte
	for before := uint64(0); ; {
		page, err := o.log.List(ctx, ledger.Page{Before: before})
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Record != nil && len(e.Record.Note) > 0 {
				out = append(out, e.Record.Note)
			}
			before = e.Index
		}
		if len(page) == 0 || before == 0 {
			break
		}
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return out, nil
}
