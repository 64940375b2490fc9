package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/scenario"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
)

// familyFile is DIR/family.json: how far the family's year has come, so that a demo that starts again goes on and plays nothing twice.
type familyFile struct {
	Began time.Time     `json:"began"`
	Past  scenario.Past `json:"past"`
}

// family plays what is left of the family's year on the running federation. A demo without a portal has none, nor has a country that was made before families
// were told of.
func (d *demoFile) family(ctx context.Context, f *fleet, s streams) error {
	atlas, err := country.Open(d.path("registers"))
	if err != nil {
		return err
	}
	if d.Portal == nil || atlas.Cast.Mother.PIN == "" {
		return nil
	}
	file := familyFile{Began: clock.Default().Now()}
	text, err := os.ReadFile(d.path("family.json"))
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &file); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	folder, err := os.MkdirTemp("", "countersign-family-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a temporary folder
	sites := map[string]scenario.Site{}
	for code, m := range d.Members {
		token, err := readLine(m.TokenFile)
		if err != nil {
			return err
		}
		sites[code] = scenario.Site{URL: m.Client, Token: token}
	}
	year := &scenario.Family{
		Sites: sites, People: atlas, Hands: &hands{demoFile: d, fleet: f, folder: folder, began: file.Began}, Silent: clock.Simulated, Past: file.Past,
		Progress: func(line string) { fmt.Fprintln(s.err, "  "+clock.Default().Now().Format(time.DateOnly)+"  "+line) },
	}
	return year.Live(ctx, func() error {
		file.Past = year.Past
		text, err := json.Marshal(file)
		if err != nil {
			return err
		}
		return federation.WriteFile(d.path("family.json"), append(text, '\n'))
	})
}
