package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/exchange"
	"countersign.dev/countersign/internal/httpsig"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/ledger"
	"countersign.dev/countersign/internal/store"
	"countersign.dev/countersign/internal/xroad"
)

// forge puts another receipt into an answer: none, that of an earlier exchange, one signed by a key that is not the log's, one for another
// leaf, or one of another log.
func (m *middle) forge(p *passed, how string) error {
	values := p.header[exchange.HeaderReceipt]
	text, signature, err := exchange.ParsePromiseHeader(values)
	if err != nil {
		return err
	}
	promise, err := countersign.ParsePromise(text)
	if err != nil {
		return err
	}
	key := keyLog
	switch how {
	case "none":
		p.header.Set(exchange.HeaderReceipt, "")
		return nil
	case "noise":
		p.header.Set(exchange.HeaderReceipt, "receipt")
		return nil
	case "earlier":
		m.mu.Lock()
		defer m.mu.Unlock()
		if len(m.captured) < 2 {
			return errors.New("there is no earlier exchange")
		}
		p.header.Set(exchange.HeaderReceipt, m.captured[len(m.captured)-2].receipt)
		return nil
	case "signature":
		signature[len(signature)/2] ^= 1
		p.header.Set(exchange.HeaderReceipt, promiseText(text, signature))
		return nil
	case "key":
		key = keySign
	case "leaf":
		promise.Leaf[0] ^= 1
	case "origin":
		promise.Origin = "elsewhere.example/log"
	case "index": // signed by the log for an index that it never reaches: nothing was appended
		promise.Index += 1 << 30
	default:
		return fmt.Errorf("%w: no receipt %q", errUsage, how)
	}
	return m.promise(p, promise, key)
}

// promise puts a promise into an answer, signed by a key of the provider's.
func (m *middle) promise(p *passed, promise *countersign.Promise, key string) error {
	signer, err := keys.Load(filepath.Join(m.provider.Keys, key))
	if err != nil {
		return err
	}
	text := promise.Encode()
	leaf, err := countersign.NewTreeLeaf(countersign.DomainReceipt, text)
	if err != nil {
		return err
	}
	tree, err := countersign.SignTree(signer, []countersign.TreeLeaf{leaf})
	if err != nil {
		return err
	}
	signed, err := tree.Signature(0)
	if err != nil {
		return err
	}
	signature, err := signed.Marshal()
	if err != nil {
		return err
	}
	p.header.Set(exchange.HeaderReceipt, promiseText(text, signature))
	return nil
}

func promiseText(promise, signature []byte) string {
	return ":" + base64.StdEncoding.EncodeToString(promise) + ":, :" + base64.StdEncoding.EncodeToString(signature) + ":"
}

// sign signs an answer with the provider's own key, as the provider's gateway would.
func (m *middle) sign(p *passed) error {
	key, err := keys.Load(filepath.Join(m.provider.Keys, keySign))
	if err != nil {
		return err
	}
	signer, err := keys.NewPlainSigner(key)
	if err != nil {
		return err
	}
	profile, err := httpsig.NewProfile(httpsig.Spec{Label: "countersign", Domain: countersign.DomainResponse, Components: []httpsig.Component{
		{Name: "content-digest"}, {Name: "@status"}, {Name: "countersign-answer"}, {Name: "x-road-request-hash"}, {Name: "x-road-request-id"},
	}})
	if err != nil {
		return err
	}
	p.header.Set("Content-Digest", httpsig.DigestContent(p.body).String())
	p.header.Del("Signature")
	p.header.Del("Signature-Input")
	signed, err := profile.Sign(context.Background(), signer, httpsig.OfResponse(p.status, p.header), time.Now())
	if err != nil {
		return err
	}
	signed.Set(p.header)
	return nil
}

// excess puts more into an answer than the field list that it bears, and signs answer and receipt for it as the provider would: digest, statement,
// commitment, leaf and promise all fit. Nothing but the consumer's look at the fields can tell.
func (m *middle) excess(p *passed, more string) error {
	id, err := countersign.ParseExchangeID(p.header.Get(xroad.HeaderRequestID))
	if err != nil {
		return err
	}
	st, salt, err := m.recorded(id)
	if err != nil {
		return err
	}
	p.body = bytes.Replace(p.body, []byte("{"), []byte("{"+more+","), 1)
	sum := sha256.Sum256(p.body)
	st.Answer = salt.Blind("answer", sum[:])
	text, _, err := exchange.ParsePromiseHeader(p.header[exchange.HeaderReceipt])
	if err != nil {
		return err
	}
	promise, err := countersign.ParsePromise(text)
	if err != nil {
		return err
	}
	leaf := countersign.ExchangeLeaf(st, countersign.SideProvider, st.Outcome, salt.Commit(st.Encode()))
	promise.Leaf = countersign.LeafHash(leaf.Encode())
	if err := m.promise(p, promise, keyLog); err != nil {
		return err
	}
	return m.sign(p)
}

// recorded opens the provider's own record of an exchange.
func (m *middle) recorded(id countersign.ExchangeID) (*countersign.Statement, countersign.Salt, error) {
	ctx := context.Background()
	conf, err := loadGatewayConfig(m.provider.Config)
	if err != nil {
		return nil, countersign.Salt{}, err
	}
	db, err := store.OpenSQLiteReader(ctx, conf.logParts().file())
	if err != nil {
		return nil, countersign.Salt{}, err
	}
	defer db.Close() //nolint:errcheck // a reader
	logConf, err := conf.logParts().config(db, clock.System{}, nil)
	if err != nil {
		return nil, countersign.Salt{}, err
	}
	log, err := ledger.OpenReader(ctx, logConf)
	if err != nil {
		return nil, countersign.Salt{}, err
	}
	all, err := log.ByExchange(ctx, id)
	if err != nil {
		return nil, countersign.Salt{}, err
	}
	if len(all) != 1 || all[0].Record == nil {
		return nil, countersign.Salt{}, fmt.Errorf("the provider has %d records of %s", len(all), id)
	}
	st, err := countersign.ParseStatement(all[0].Record.Statement)
	return st, all[0].Record.Salt, err
}
