package main

import (
	"encoding/json"
	"os"
	"path/filepath"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/ledger/lockfile"
)

// demoFile is DIR/demo.json: where everything of a demo is. Ports are chosen once and kept.
type demoFile struct {
	Instance  string                `json:"instance"`
	Directory demoPart              `json:"directory"`
	Witnesses map[string]demoPart   `json:"witnesses"`
	Members   map[string]demoMember `json:"members"` // by member code
	Policy    string                `json:"policy"`  // C2SP tlog-policy file of all logs, for countersign verify
	Echo      *demoPart             `json:"echo,omitempty"`
	Portal    *demoPortal           `json:"portal,omitempty"`
	Identity  *demoPart             `json:"identity,omitempty"` // OpenID Connect provider
	Mail      *demoPost             `json:"mail,omitempty"`     // where the portal's notices end
	Offices   map[string]demoOffice `json:"offices,omitempty"`  // court and overseer, by member code
	Upstream  string                `json:"upstream,omitempty"` // of the benchmark's service, in a pair
	PID       int                   `json:"pid,omitempty"`

	dir      string
	reserved []*lockfile.Lock // of the ports, until this process ends
}

type demoPart struct {
	URL   string `json:"url"`
	Admin string `json:"admin,omitempty"`
	PID   int    `json:"pid,omitempty"`
}

type demoMember struct {
	ID        countersign.MemberID `json:"id"`
	Client    string               `json:"client"` // X-Road REST address for the member's systems
	Peer      string               `json:"peer"`
	Public    string               `json:"public"` // the log's tiles
	Admin     string               `json:"admin"`
	Register  string               `json:"register,omitempty"`
	TokenFile string               `json:"tokenFile"` // token of the client ID/desk
	Config    string               `json:"config"`
	Keys      string               `json:"keys"`
	PID       int                  `json:"pid,omitempty"`
	RegPID    int                  `json:"registerPID,omitempty"`
}

func (d *demoFile) path(parts ...string) string {
	return filepath.Join(append([]string{d.dir}, parts...)...)
}

func demoPath(dir string) string { return filepath.Join(dir, "demo.json") }

// save writes demo.json whole or not at all.
func (d *demoFile) save() error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return federation.WriteFile(demoPath(d.dir), append(text, '\n'))
}

func loadDemo(dir string) (*demoFile, error) {
	text, err := os.ReadFile(demoPath(dir))
	if err != nil {
		return nil, err
	}
	d := &demoFile{dir: dir}
	return d, json.Unmarshal(text, d)
}
