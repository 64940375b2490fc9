package main

import (
	"context"
	"fmt"
	"path/filepath"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/store"
)

type backupCmd struct {
	Config string `required:"" help:"The gateway's configuration." type:"existingfile" placeholder:"FILE"`
	To     string `required:"" help:"New file for the copy." type:"path" placeholder:"FILE"`
}

// Run copies a gateway's store as it is at one moment, beside the running gateway, and checks the copy. No key is in it.
func (c *backupCmd) Run(ctx context.Context, s streams) error {
	conf, err := loadGatewayConfig(c.Config)
	if err != nil {
		return err
	}
	parts := conf.logParts()
	if inside(c.To, parts.keys) {
		return countersign.Refuse(countersign.CodeBadRequest, "the folder of keys is no place for a backup: whoever has both reads records after their end")
	}
	if err := store.Backup(ctx, parts.file(), c.To, clock.Default().Now()); err != nil {
		return err
	}
	return c.check(ctx, s, parts)
}

// check reads the copy whole: a backup that nobody has looked at is a hope.
func (c *backupCmd) check(ctx context.Context, s streams, parts logParts) error {
	look := &fsckCmd{ReadOnly: true}
	result := &fsckResult{Stores: []*fsckStore{look.store(ctx, fsckPlace{file: c.To, parts: &parts}, nil)}}
	for _, st := range result.Stores {
		for i := range st.Overdue { // told, and no reason to be without a backup: its key is in none
			st.Overdue[i].Late = false
		}
	}
	status := result.judge()
	result.tell(s)
	if status != fsckClean {
		return countersign.Refuse(countersign.CodeStore, "the copy %s is not whole, and neither is the store: run countersign fsck", c.To)
	}
	return nil
}

func inside(path, folder string) bool {
	rel, err := filepath.Rel(absolute(folder), absolute(path))
	return err == nil && filepath.IsLocal(rel)
}

type restoreCmd struct {
	Config string `required:"" help:"The gateway's configuration." type:"existingfile" placeholder:"FILE"`
	From   string `required:"" help:"The copy that countersign backup made." type:"existingfile" placeholder:"FILE"`
}

// Run puts a copy in the place of a stopped gateway's store, and keeps what stood there. The gateway takes no record from it before its
// witnesses have said that nothing is missing.
func (c *restoreCmd) Run(ctx context.Context, s streams) error {
	conf, err := loadGatewayConfig(c.Config)
	if err != nil {
		return err
	}
	aside, err := store.Restore(ctx, c.From, conf.logParts().file(), clock.Default().Now())
	if err != nil {
		return err
	}
	if aside != "" {
		fmt.Fprintln(s.out, "the store that stood there is kept:", aside)
	}
	_, err = fmt.Fprintln(s.out, "restored; the gateway goes on once its witnesses have said that nothing is missing")
	return err
}
