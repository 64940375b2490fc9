package sqlregister

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/register"
)

var _ register.Register = (*Register)(nil)

// Ask implements [register.Register]. Verbs other than GET and HEAD are answered 405, other paths 404.
func (r *Register) Ask(ctx context.Context, q *register.Request) (*register.Answer, error) {
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		a := problem(http.StatusMethodNotAllowed, "this service answers GET")
		a.Header["Allow"] = []string{"GET, HEAD"}
		return a, nil
	}
	if q.Query != "" || q.Body != nil && q.Length != 0 {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the service takes no query and no body: leave them out")
	}
	value, ok := r.match(q.Path)
	if !ok {
		return problem(http.StatusNotFound, "the service has no such path"), nil
	}
	if r.key == nil {
		// The path's spelling found the person; the canonical identifier, which the decision was about, finds the rows.
		if q.Subject.IsZero() {
			return nil, countersign.Refuse(countersign.CodeNoSubject, "the question names no person")
		}
		value = q.Subject.Value
	} else if !r.key.MatchString(value) {
		return problem(http.StatusNotFound, "the key is not one of this service"), nil
	}

	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	body, err := r.rows(ctx, value)
	if err != nil {
		return nil, failure(ctx, err)
	}
	if body == nil {
		return problem(http.StatusNotFound, "the register has no such entry"), nil
	}
	a := answer(http.StatusOK, "application/json", body)
	if q.Method == http.MethodHead {
		a.Body, a.Length = http.NoBody, 0
	}
	return a, nil
}

// match finds the variable's value in a raw path.
func (r *Register) match(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, r.before)
	if !ok {
		return "", false
	}
	rest, ok = strings.CutSuffix(rest, r.after)
	if !ok || rest == "" || strings.Contains(rest, "/") {
		return "", false
	}
	value, err := url.PathUnescape(rest)
	if err != nil || !utf8.ValidString(value) || strings.ContainsAny(value, "/\\\x00") || value == "." || value == ".." {
		return "", false
	}
	return value, true
}

// rows gives the answer's body, nil for no entry.
func (r *Register) rows(ctx context.Context, value string) (body []byte, err error) {
	rows, err := r.stmt.QueryContext(ctx, sql.Named(r.variable, value))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	cells := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}

	out := make([]byte, 0, 512)
	n := 0
	for ; rows.Next(); n++ {
		if n == r.maxRows {
			return nil, countersign.Refuse(countersign.CodeRegister, "the register has more than %d rows for one question: its declaration is wrong, or its data", r.maxRows)
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		// LAW: guarantee 2, one person per question.
		if r.key == nil && !isPerson(cells[r.person], value) {
			return nil, countersign.Refuse(countersign.CodeRegister, "the register's query gave a row about somebody else: its declaration is wrong, nothing is answered")
		}
		if n > 0 {
			out = append(out, ',')
		}
		if out, err = r.row(out, cells); err != nil {
			return nil, err
		}
		if len(out) > register.MaxAnswer {
			return nil, countersign.Refuse(countersign.CodeUnfilterable, "the register's answer has more than %d bytes, the bound of an answer about a person", register.MaxAnswer)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if r.declaration.Shape == ShapeList {
		return append(append([]byte{'['}, out...), ']'), nil
	}
	if n == 0 {
		return nil, nil
	}
	return out, nil
}

func isPerson(cell any, want string) bool {
	switch v := cell.(type) {
	case string:
		return v == want
	case []byte:
		return string(v) == want
	case int64:
		return strconv.FormatInt(v, 10) == want
	}
	return false
}

func (r *Register) row(out []byte, cells []any) ([]byte, error) {
	out = append(out, '{')
	for i, c := range r.declaration.Columns {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), c.Field...), `":`...) // a plain name needs no escapes
		var ok bool
		if out, ok = appendCell(out, c.Type, cells[r.places[i]]); !ok {
			return nil, countersign.Refuse(countersign.CodeRegister, "the register's column %q holds a value that is no %s", c.Column, c.Type)
		}
	}
	return append(out, '}'), nil
}

// appendCell writes a value as its declared type; a value of another type is refused rather than converted.
func appendCell(out []byte, t Type, cell any) ([]byte, bool) {
	if cell == nil {
		return append(out, "null"...), true
	}
	switch t {
	case TypeString:
		return appendText(out, cell)
	case TypeInteger:
		v, ok := cell.(int64)
		return strconv.AppendInt(out, v, 10), ok
	case TypeNumber:
		switch v := cell.(type) {
		case int64:
			return strconv.AppendInt(out, v, 10), true
		case float64:
			return jsontext.AppendFloat(out, v, 64), !math.IsInf(v, 0) && !math.IsNaN(v)
		}
	case TypeBoolean:
		switch v := cell.(type) {
		case bool:
			return strconv.AppendBool(out, v), true
		case int64:
			return strconv.AppendBool(out, v == 1), v == 0 || v == 1
		}
	case TypeDate:
		return appendTime(out, cell, time.DateOnly)
	case TypeDateTime:
		return appendTime(out, cell, time.RFC3339)
	}
	return out, false
}

func appendText(out []byte, cell any) ([]byte, bool) {
	var err error
	switch v := cell.(type) {
	case string:
		out, err = jsontext.AppendQuote(out, v)
	case int64: // codes of digits in a column without a type
		return append(strconv.AppendInt(append(out, '"'), v, 10), '"'), true
	default:
		return out, false
	}
	return out, err == nil
}

func appendTime(out []byte, cell any, layout string) ([]byte, bool) {
	v, ok := cell.(time.Time)
	if s, isText := cell.(string); isText {
		var err error
		v, err = time.Parse(layout, s)
		ok = err == nil
	}
	return append(v.AppendFormat(append(out, '"'), layout), '"'), ok
}

// failure makes a refusal of the driver's error, whose text may quote the query's values.
func failure(ctx context.Context, err error) error {
	if countersign.CodeOf(err) != countersign.CodeInternal {
		return err
	}
	if cerr := ctx.Err(); cerr != nil {
		return countersign.RefuseBecause(countersign.CodeNetwork, cerr, "the register did not answer in time")
	}
	return countersign.Refuse(countersign.CodeRegister, "the register's database failed")
}

func answer(status int, media string, body []byte) *register.Answer {
	return &register.Answer{
		Status: status, Header: http.Header{"Content-Type": {media}},
		Body: io.NopCloser(bytes.NewReader(body)), Length: int64(len(body)),
	}
}

// problem is an answer that says no.
//
// SPEC: RFC 9457.
func problem(status int, title string) *register.Answer {
	b := append([]byte(`{"type":"about:blank","status":`), strconv.Itoa(status)...)
	b = append(b, `,"title":`...)
	b, _ = jsontext.AppendQuote(b, title) // our own sentences are UTF-8
	return answer(status, "application/problem+json", append(b, '}'))
}
