package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	"countersign.dev/countersign/demo/mail"
	"countersign.dev/countersign/internal/clock"
)

// demoPost is where the demo's mail server is.
type demoPost struct {
	URL  string `json:"url"`  // shows what has come
	SMTP string `json:"smtp"` // host:port
	PID  int    `json:"pid,omitempty"`
}

// mailAddresses is how many ports the mail server takes.
const mailAddresses = 2

func (d *demoFile) planMail(next func() string) {
	d.Mail = &demoPost{URL: "http://" + next(), SMTP: next()}
}

// foundMail makes the mail server's folder.
func (d *demoFile) foundMail() error { return mail.Found(d.path("mail"), clock.Default().Now()) }

// noticesConfig has the demo's portal send mail there. It asks more often and waits less than a real portal, so that whoever tries it sees it happen.
func (d *demoFile) noticesConfig() *noticesConfig {
	return &noticesConfig{
		Mail: &mailConfig{
			Server: d.Mail.SMTP, User: mail.User, PasswordFile: d.path("mail", mail.PasswordFile), CA: d.path("mail", mail.CertFile), From: "notices@portal.demo.example",
		},
		Every: "1s", Delay: "10s",
	}
}

type demoMailCmd struct {
	Dir    string `required:"" type:"existingdir"`
	SMTP   string `required:""`
	Listen string `required:""`
}

// Run serves the demo's mail server: SMTP for the portal, a page for whoever tries the demo.
func (c *demoMailCmd) Run(ctx context.Context, s streams) error {
	ctx = untilInputEnds(ctx)
	server, err := mail.Open(c.Dir)
	if err != nil {
		return err
	}
	socket, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.SMTP)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var smtp error
	wg.Go(func() {
		defer cancel()
		smtp = server.Serve(ctx, socket)
	})
	err = serveAll(ctx, slog.New(slog.NewJSONHandler(s.err, nil)), []listener{{name: "mail", address: c.Listen, handler: server}})
	cancel()
	wg.Wait()
	return errors.Join(err, smtp)
}
