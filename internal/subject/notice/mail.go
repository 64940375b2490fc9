package notice

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"countersign.dev/countersign"
)

// MailConfig says by which server mail leaves. There is no way to send without TLS.
type MailConfig struct {
	Server   string // host:port
	Implicit bool   // TLS from the first byte; otherwise STARTTLS, which must succeed
	User     string // empty for a server that asks for none
	Password string
	From     string
	TLS      *tls.Config // whom to trust; nil for the machine's roots
}

// Mailer sends by SMTP.
type Mailer struct {
	conf MailConfig
	host string
	port int
}

// NewMailer checks the configuration. It connects to nothing.
func NewMailer(c MailConfig) (*Mailer, error) {
	host, port, err := net.SplitHostPort(c.Server)
	n, numberErr := strconv.Atoi(port)
	if err != nil || numberErr != nil || host == "" {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the mail server %q is no host and port: write for instance mail.example:587", c.Server)
	}
	if err := checkEmail(c.From); err != nil {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the address %q that mail comes from is none: write for instance notices@my.example", c.From)
	}
	if (c.User == "") != (c.Password == "") {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the mail server's user and password go together: give both or none")
	}
	m := &Mailer{c, host, n}
	_, err = m.client()
	return m, err
}

func (m *Mailer) client() (*mail.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.conf.TLS != nil {
		conf = m.conf.TLS.Clone()
	}
	conf.ServerName = m.host
	options := []mail.Option{mail.WithPort(m.port), mail.WithTLSConfig(conf), mail.WithTLSPolicy(mail.TLSMandatory), mail.WithTimeout(sendPatience)}
	if m.conf.Implicit {
		options = append(options, mail.WithSSL())
	}
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") {
		options = append(options, mail.WithHELO(name))
	} else {
		options = append(options, mail.WithHELO("localhost"))
	}
	if m.conf.User != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.conf.User), mail.WithPassword(m.conf.Password))
	}
	c, err := mail.NewClient(m.host, options...)
	if err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the mail server cannot be used as it is configured")
	}
	return c, nil
}

// Send implements Sender. The message is plain text; its header names nobody but the two addresses.
func (m *Mailer) Send(ctx context.Context, to *Contact, l *Letter) error {
	msg, err := m.compose(to, l)
	if err != nil {
		return err
	}
	client, err := m.client()
	if err != nil {
		return err
	}
	err = client.DialAndSendWithContext(ctx, msg)
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refusedByReceiver(refused) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// refusedByReceiver tells a server that says no to this message from one that cannot be reached or lets nobody in: the latter is the operator's to mend.
func refusedByReceiver(e *mail.SendError) bool {
	switch e.Reason {
	case mail.ErrSMTPRcptTo, mail.ErrSMTPData, mail.ErrSMTPDataClose:
		return e.ErrorCode() >= 500
	}
	return false
}

func (m *Mailer) compose(to *Contact, l *Letter) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	_, domain, _ := strings.Cut(m.conf.From, "@")
	if err := errors.Join(msg.From(m.conf.From), msg.To(to.Address)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	msg.Subject(l.Subject)
	msg.SetDateWithValue(l.At)
	msg.SetMessageIDWithValue(l.Name() + "@" + domain) // the same at each attempt
	// SPEC: RFC 3834, 5: a message that no human wrote says so, and no machine answers it.
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	if l.Stop != "" {
		// SPEC: RFC 8058: one click stops the messages.
		msg.SetGenHeader(mail.HeaderListUnsubscribe, "<"+l.Stop+">")
		msg.SetGenHeader(mail.HeaderListUnsubscribePost, "List-Unsubscribe=One-Click")
	}
	msg.SetBodyString(mail.TypeTextPlain, l.Body)
	return msg, nil
}

var _ Sender = (*Mailer)(nil)
