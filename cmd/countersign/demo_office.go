package main

import (
	"context"
	"slices"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/law"
)

// demoOffice is where the demo's court or overseer is.
type demoOffice struct {
	ID    countersign.MemberID `json:"id"`
	Dir   string               `json:"dir"` // for countersign court and countersign oversight
	URL   string               `json:"url"` // log and lists, for everybody
	Desk  string               `json:"desk"`
	Admin string               `json:"admin"`
	Peer  string               `json:"peer"`
	PID   int                  `json:"pid,omitempty"`
}

// Members of the demo's law that are offices, not agencies.
const (
	courtCode    = "CRT"
	overseerCode = "DPA"
)

// officeCodes are all of them.
func officeCodes() []string { return []string{courtCode, overseerCode} }

// officeAddresses is how many ports one office takes.
const officeAddresses = 4

// settle tells the members that run gateways from the offices and the portal, which may be named among them.
func (p demoPlan) settle() demoPlan {
	var agencies []string
	for _, code := range p.agencies {
		switch {
		case code == portalCode:
			p.portal = true
		case slices.Contains(officeCodes(), code):
			p.offices = append(p.offices, code)
		default:
			agencies = append(agencies, code)
		}
	}
	p.agencies = agencies
	return p
}

func (d *demoFile) planOffices(codes []string, next func() string) {
	for _, code := range codes {
		if d.Offices == nil {
			d.Offices = map[string]demoOffice{}
		}
		d.Offices[code] = demoOffice{ID: law.Member(code), Dir: d.path(folderOf(code)), URL: "http://" + next(), Desk: next(), Admin: "http://" + next(), Peer: "https://" + next()}
	}
}

func (d *demoFile) officeFlags(code, name string) officeFlags {
	o := d.Offices[code]
	return officeFlags{
		Dir: o.Dir, Name: name, Member: o.ID.String(), Origin: countersign.LogOrigin(folderOf(code) + ".demo.example/log"), URL: o.URL,
		Listen: address(o.URL), Desk: o.Desk, Admin: address(o.Admin), Directory: d.Directory.URL, Root: d.path("root.json"),
	}
}

// foundOffices begins court and overseer, as their own people would, and lists them in the directory.
func (d *demoFile) foundOffices(ctx context.Context, doc *countersign.Directory) error {
	if _, ok := d.Offices[courtCode]; ok {
		entry, err := (&courtInitCmd{d.officeFlags(courtCode, "demo-court")}).entry(ctx)
		if err != nil {
			return err
		}
		for _, m := range doc.Members {
			if m.ID == entry.Member {
				entry.Text = m.Text
			}
		}
		doc.Courts = []countersign.Court{*entry}
	}
	o, ok := d.Offices[overseerCode]
	if !ok {
		return nil
	}
	entry, err := (&oversightInitCmd{d.officeFlags(overseerCode, "demo-overseer"), o.Peer}).entry(ctx)
	if err != nil {
		return err
	}
	for i := range doc.Members {
		if m := &doc.Members[i]; m.ID == o.ID {
			m.Gateways = []countersign.Gateway{*entry}
		}
	}
	return nil
}

// officeParts lists the offices' processes: name, address that answers when ready, arguments.
func (d *demoFile) officeParts(add func(name, ready string, args ...string)) {
	for code, name := range map[string]string{courtCode: "court", overseerCode: "oversight"} {
		if o, ok := d.Offices[code]; ok {
			add(name, o.Admin+"/readyz", name, "serve", "--dir", o.Dir)
		}
	}
}
