package main

import (
	"context"
	"os"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register/sqlregister"
)

type gatewayDescribeCmd struct {
	Declaration string                 `arg:"" help:"YAML declaration of a query; docs/operate/residence.yaml is the annotated example." type:"existingfile"`
	Database    string                 `help:"SQLite database to check the query against, opened read-only." type:"existingfile" placeholder:"FILE"`
	Entry       bool                   `help:"Print the service's entry for the directory instead: subject, operations, fields. Its owner adds texts, categories and grants."`
	Scheme      countersign.SchemeName `default:"pin" help:"The directory's scheme of the person's identifier, for --entry."`
}

// Run prints what a declared query is to others: the OpenAPI description that the directory publishes, or the directory's entry.
func (c *gatewayDescribeCmd) Run(ctx context.Context, s streams) error {
	text, err := os.ReadFile(c.Declaration)
	if err != nil {
		return err
	}
	d, err := sqlregister.ParseDeclaration(text)
	if err != nil {
		return err
	}
	if c.Database != "" {
		r, err := sqlregister.Open(ctx, c.Database, d)
		if err != nil {
			return err
		}
		if err := r.Close(); err != nil {
			return err
		}
	}
	if c.Entry {
		entry := countersign.Service{ID: d.Service, Subject: d.Selector(c.Scheme), Endpoints: d.Endpoints(), OpenAPI: d.Service.Service + ".json"}
		for _, path := range d.Fields() {
			entry.Fields = append(entry.Fields, countersign.Field{Path: path})
		}
		return printJSON(s, &entry)
	}
	description, err := d.OpenAPI()
	if err != nil {
		return err
	}
	_, err = s.out.Write(description)
	return err
}
