package notice_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/mail"
	"countersign.dev/countersign/internal/subject"
	"countersign.dev/countersign/internal/subject/notice"
)

// TestAddresses: only plain addresses are taken.
func TestAddresses(t *testing.T) {
	for email, ok := range map[string]bool{
		"a@b.example": true, "first.last+tag@sub.post.example": true, "a@b": false, "a@[127.0.0.1]": false, "A <a@b.example>": false, "a@b.example,c@d.example": false,
		"a@b.example\r\nBcc: c@d.example": false, "": true, "@b.example": false, "a b@c.example": false, strings.Repeat("a", 250) + "@b.example": false,
	} {
		w := newWorld(t)
		wrong := w.save(notice.Wanted{Email: email, Frequency: notice.Never})
		if (wrong["email"] == nil) != ok {
			t.Errorf("%q: %v", email, wrong)
		}
	}
	for hook, ok := range map[string]bool{
		"https://me.example/hook": true, "http://me.example/hook": false, "https://user:word@me.example/": false, "https:///x": false, "ftp://me.example": false, "javascript:alert(1)": false,
		"https://me.example/#x": false,
	} {
		w := newWorld(t)
		wrong := w.save(notice.Wanted{Webhook: hook, Frequency: notice.Never})
		if (wrong["webhook"] == nil) != ok {
			t.Errorf("%q: %v", hook, wrong)
		}
	}
	w := newWorld(t)
	if wrong := w.save(notice.Wanted{Frequency: notice.Daily}); wrong["email"] == nil {
		t.Error("notices without an address")
	}
}

// TestCodesAreBounded: nobody has us flood a mailbox.
func TestCodesAreBounded(t *testing.T) {
	w := newWorld(t)
	var err error
	for i := range 10 {
		_, err = w.service.Save(t.Context(), w.alma, notice.Wanted{Language: "en", Email: strings.Repeat("a", i+1) + "@post.example", Frequency: notice.Never})
	}
	if countersign.CodeOf(err) != countersign.CodeBudget {
		t.Errorf("the tenth address of a day: %v", err)
	}
	for i := range 10 {
		p := &subject.Person{Subject: countersign.SubjectID{Scheme: "pin", Value: strings.Repeat("9", i+1)}}
		_, err = w.service.Save(t.Context(), p, notice.Wanted{Language: "en", Email: "victim@post.example", Frequency: notice.Never})
	}
	if countersign.CodeOf(err) != countersign.CodeBudget {
		t.Errorf("the tenth person with one address: %v", err)
	}
}

// TestWebhookIsSigned: what arrives verifies under the secret that the person was shown, by another implementation's own check.
func TestWebhookIsSigned(t *testing.T) {
	type arrived struct {
		header http.Header
		body   []byte
	}
	got := make(chan arrived, 1)
	status := http.StatusNoContent
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		got <- arrived{r.Header, b.Bytes()}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	trust := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	c := &notice.Contact{Kind: notice.Webhook, Address: strings.Replace(s.URL, "127.0.0.1", "example.com", 1), Secret: bytes.Repeat([]byte{7}, 32)}
	l := &notice.Letter{ID: notice.MessageID{1}, What: notice.Something, Subject: "s", Body: "b", At: time.Now()}
	// The certificate is good for example.com and 127.0.0.1; only the latter is this machine.
	c.Address = s.URL
	if err := notice.NewHooker(notice.HookConfig{TLS: trust}).Send(t.Context(), c, l); countersign.CodeOf(err) != countersign.CodeAccessDenied {
		t.Errorf("this machine is reached: %v", err)
	}
	h := notice.NewHooker(notice.HookConfig{TLS: trust, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err := h.Send(t.Context(), c, l); err != nil {
		t.Fatal(err)
	}
	a := <-got
	check, err := standardwebhooks.NewWebhook(c.SigningSecret())
	if err != nil {
		t.Fatal(err)
	}
	if err := check.Verify(a.body, a.header); err != nil {
		t.Error(err)
	}
	if a.header.Get("webhook-id") != "msg_"+l.Name() || !bytes.Contains(a.body, []byte(`"type":"countersign.notice.something"`)) || !bytes.Contains(a.body, []byte(`"data":{}`)) {
		t.Errorf("arrived: %v %s", a.header, a.body)
	}
	status = http.StatusGone
	if err := h.Send(t.Context(), c, l); !errors.Is(err, notice.ErrRefused) {
		t.Errorf("gone: %v", err)
	}
	<-got
	status = http.StatusFound
	if err := h.Send(t.Context(), c, l); err == nil || errors.Is(err, notice.ErrRefused) {
		t.Errorf("a redirect: %v", err)
	}
	<-got
}

// TestWebhooksStayOutside: no webhook reaches into a private network, however its address is written.
func TestWebhooksStayOutside(t *testing.T) {
	h := notice.NewHooker(notice.HookConfig{})
	for text, ok := range map[string]bool{
		"93.184.216.34:443": true, "[2606:2800:220:1::1]:443": true,
		"127.0.0.1:443": false, "10.1.2.3:443": false, "172.16.0.1:443": false, "192.168.1.1:443": false, "169.254.169.254:80": false, "100.64.0.1:443": false, "0.0.0.0:443": false,
		"[::1]:443": false, "[::]:443": false, "[fe80::1]:443": false, "[fc00::1]:443": false, "[::ffff:127.0.0.1]:443": false, "[::ffff:10.0.0.1]:443": false, "[64:ff9b::7f00:1]:443": false,
		"224.0.0.1:443": false, "255.255.255.255:443": false, "[2002:7f00:1::]:443": false, "198.18.0.1:443": false, "name.example:443": false,
	} {
		if err := notice.Permits(h, text); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestMailOverSMTP: a letter crosses a real connection, with STARTTLS and a password, and its bytes hold nothing but what they must.
func TestMailOverSMTP(t *testing.T) {
	dir := t.TempDir()
	if err := mail.Found(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	server, err := mail.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(t.Context(), socket) }()
	certificate, err := os.ReadFile(filepath.Join(dir, mail.CertFile))
	if err != nil {
		t.Fatal(err)
	}
	password, err := os.ReadFile(filepath.Join(dir, mail.PasswordFile))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	conf := notice.MailConfig{
		Server: socket.Addr().String(), User: mail.User, Password: strings.TrimSpace(string(password)), From: "notices@my.example", TLS: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	m, err := notice.NewMailer(conf)
	if err != nil {
		t.Fatal(err)
	}
	l := &notice.Letter{ID: notice.MessageID{1, 2}, What: notice.Something, Subject: "Qeydlərinizdə yenilik var", Body: "Daxil olun.\n", Stop: "https://my.example/notices/stop/abc", At: time.Date(2031, 3, 4, 9, 0, 0, 0, time.UTC)}
	if err := m.Send(t.Context(), &notice.Contact{Address: address}, l); err != nil {
		t.Fatal(err)
	}
	letters, err := server.Letters()
	if err != nil || len(letters) != 1 {
		t.Fatal(letters, err)
	}
	got := letters[0]
	if got.Subject != l.Subject || strings.ReplaceAll(got.Body, "\r\n", "\n") != l.Body || got.ID != "<"+l.Name()+"@my.example>" {
		t.Errorf("got %+v", got)
	}
	for _, want := range []string{"List-Unsubscribe: <https://my.example/notices/stop/abc>", "List-Unsubscribe-Post: List-Unsubscribe=One-Click", "Auto-Submitted: auto-generated"} {
		if !strings.Contains(got.Raw, want) {
			t.Errorf("the letter lacks %q:\n%s", want, got.Raw)
		}
	}
	if err := m.Send(t.Context(), &notice.Contact{Address: "alma@nowhere.invalid"}, l); !errors.Is(err, notice.ErrRefused) {
		t.Errorf("an address that the server refuses: %v", err)
	}
	conf.Password = "wrong"
	wrong, err := notice.NewMailer(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := wrong.Send(t.Context(), &notice.Contact{Address: address}, l); err == nil || errors.Is(err, notice.ErrRefused) {
		t.Errorf("a password that is wrong is the operator's to mend, not the end of the message: %v", err)
	}
	conf.TLS = nil
	stranger, err := notice.NewMailer(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := stranger.Send(t.Context(), &notice.Contact{Address: address}, l); err == nil || errors.Is(err, notice.ErrRefused) {
		t.Errorf("a server whom nobody vouches for: %v", err)
	}
}

// FuzzStop: whatever stands in an address, it stops the notices of the person for whom it was made, or nobody's.
func FuzzStop(f *testing.F) {
	v, err := notice.NewVault(notice.NewKey())
	if err != nil {
		f.Fatal(err)
	}
	id := notice.PersonID{1, 2, 3}
	good := notice.StopToken(v, id)
	f.Add(good)
	f.Add(good[1:])
	f.Fuzz(func(t *testing.T, token string) {
		got, err := notice.ReadStop(v, token)
		if (err == nil) != (token == good) || err == nil && got != id {
			t.Errorf("%q: %v, %v", token, got, err)
		}
	})
}
