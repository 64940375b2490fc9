package notice

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"countersign.dev/countersign"
)

// HookConfig says where webhooks may lie.
type HookConfig struct {
	Private []netip.Prefix // networks that may be reached although they are not the public Internet: for a demo or a closed network
	TLS     *tls.Config    // whom to trust; nil for the machine's roots
}

// Hooker sends by webhook, signed as Standard Webhooks has it.
type Hooker struct {
	conf   HookConfig
	client *http.Client
}

// hookPatience is how long a receiver may take.
const hookPatience = 15 * time.Second

// NewHooker makes a sender of webhooks. What it connects to is judged by the address that the name has led to, at the moment of connecting.
func NewHooker(c HookConfig) *Hooker {
	h := &Hooker{conf: c}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS != nil {
		conf = c.TLS.Clone()
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error { return h.permits(address) }}
	h.client = &http.Client{
		Timeout:       hookPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // or a redirect would lead where no address may
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: conf, TLSHandshakeTimeout: 5 * time.Second, MaxResponseHeaderBytes: 16 << 10,
			Proxy: nil, DisableKeepAlives: true,
		},
	}
	return h
}

// outside are networks that are not the public Internet and that netip does not name.
//
// SPEC: IANA's registries of special-purpose addresses.
var outside = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("3fff::/20"), netip.MustParsePrefix("5f00::/16"),
}

// permits judges the address of a connection that is about to be made.
func (h *Hooker) permits(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return countersign.Refuse(countersign.CodeAccessDenied, "a webhook leads to no address of the Internet")
	}
	ip := at.Addr().Unmap()
	inside := func(p netip.Prefix) bool { return p.Contains(ip) }
	if slices.ContainsFunc(h.conf.Private, inside) {
		return nil
	}
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.Zone() != "" || slices.ContainsFunc(outside, inside) {
		return countersign.Refuse(countersign.CodeAccessDenied, "a webhook leads into a private network: only the public Internet is reached")
	}
	return nil
}

// hookBody is what a receiver gets.
//
// SPEC: Standard Webhooks, payload structure: type, timestamp, data.
type hookBody struct {
	Type      string            `json:"type"`
	Timestamp string            `json:"timestamp"`
	Data      map[string]string `json:"data"`
}

// Send implements Sender.
//
// SPEC: Standard Webhooks 1.0: webhook-id stays the same at each attempt, webhook-timestamp is the attempt's, webhook-signature is v1, HMAC-SHA-256.
func (h *Hooker) Send(ctx context.Context, to *Contact, l *Letter) error {
	if err := checkWebhook(to.Address); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	data := map[string]string{}
	if l.Code != "" {
		data["code"] = l.Code
	}
	body, err := json.Marshal(hookBody{"countersign.notice." + string(l.What), l.At.UTC().Format(time.RFC3339), data})
	if err != nil {
		return fmt.Errorf("writing a webhook: %w", err)
	}
	signer, err := standardwebhooks.NewWebhookRaw(to.Secret)
	if err != nil {
		return fmt.Errorf("signing a webhook: %w", err)
	}
	id := "msg_" + l.Name()
	signature, err := signer.Sign(id, l.At, body)
	if err != nil {
		return fmt.Errorf("signing a webhook: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "countersign-notices")
	req.Header.Set(standardwebhooks.HeaderWebhookID, id)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(l.At.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, signature)
	res, err := h.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 4<<10))
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusGone: // SPEC: Standard Webhooks: 410 says to stop
		return fmt.Errorf("%w: status %d", ErrRefused, res.StatusCode)
	}
	return fmt.Errorf("the webhook answers %d", res.StatusCode)
}

var _ Sender = (*Hooker)(nil)
