package portal

import (
	"archive/zip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/subject"
)

// errReaderGone says that what was to be read was not taken: nobody is left to tell.
var errReaderGone = errors.New("the reader of the file has gone away")

// historyFile writes a history as one file, a page at a time, and keeps nothing of a page that is written. Errors are errReaderGone, or say why the history cannot
// be given.
type historyFile interface {
	begin(h *subject.History) error
	page(uses []*subject.Use) (more bool, err error)
	end(h *subject.History) error // h is the last page: its members are those of the whole
	breakOff() error              // after an error of the history: marks the file as cut short, where its form can
}

// exportFile sends the history as it is read from the gateways. Whoever reads can tell a whole file from another: it ends with a word on which gateways told
// everything, and what breaks off before that ends without, in a connection that is cut.
func (s *Server) exportFile(w http.ResponseWriter, r *http.Request, one *session) error {
	n, err := s.names(r)
	if err != nil {
		return err
	}
	var file historyFile
	var mime, name string
	switch r.PathValue("format") {
	case "csv":
		file, mime, name = &csvFile{out: csv.NewWriter(w), names: n}, "text/csv; charset=utf-8", "history.csv"
	case "json":
		file, mime, name = &jsonFile{out: w, session: one, names: n}, "application/json", "history.json"
	case "proofs":
		file, mime, name = &proofFile{ctx: r.Context(), server: s, archive: zip.NewWriter(w), person: one.person, names: n}, "application/zip", "proofs.zip"
	default:
		return countersign.Refuse(countersign.CodeUnknownService, "exports are csv, json and proofs")
	}
	var last *subject.History
	err = s.walk(r, one, func(h *subject.History) (bool, error) {
		if last == nil {
			w.Header().Set("Content-Type", mime)
			w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
			if err := file.begin(h); err != nil {
				return false, err
			}
		}
		last = h
		more, err := file.page(h.Uses)
		last.Uses = nil
		if err == nil && http.NewResponseController(w).Flush() != nil {
			err = errReaderGone
		}
		return more, err
	})
	if err == nil {
		err = file.end(last)
	}
	switch {
	case errors.Is(err, errReaderGone), last != nil && r.Context().Err() != nil:
		return nil //nolint:nilerr // whoever would read of it has gone away
	case err == nil || last == nil: // whole, or nothing sent: an error is answered like any other
		return err
	}
	s.report(r, err)
	if file.breakOff() == nil {
		_ = http.NewResponseController(w).Flush() // the connection is cut in any case
	}
	panic(http.ErrAbortHandler) // the status is sent: a connection that is cut is what every reader takes for a failed download
}

// silent names the members whose gateways did not tell everything.
func silent(n *names, h *subject.History) (out []string) {
	for _, m := range h.Members {
		if m.Problem != nil {
			out = append(out, n.member(m.Member))
		}
	}
	return out
}

// csvFile is a table for spreadsheets: a line for each use, and a last line that says whether that is all.
type csvFile struct {
	out   *csv.Writer
	names *names
	rows  int
}

var csvHead = []string{
	"time", "asked by", "system", "role", "assurance", "on behalf of", "asked of", "service", "purpose", "law", "article", "case", "mandate", "outcome", "reasons",
	"fields", "differences", "exchange", "provider log", "provider index", "consumer log", "consumer index",
}

func (f *csvFile) row(cells ...string) {
	row := make([]string, len(csvHead))
	for i := range cells {
		row[i] = safeCell(cells[i])
	}
	_ = f.out.Write(row) // the writer keeps its first error
}

func (f *csvFile) flush() error {
	if f.out.Flush(); f.out.Error() != nil {
		return errReaderGone
	}
	return nil
}

func (f *csvFile) begin(*subject.History) error {
	f.row(csvHead...)
	return nil
}

func (f *csvFile) page(uses []*subject.Use) (bool, error) {
	n := f.names
	for _, u := range uses {
		st := u.Statement
		if st == nil {
			st = new(countersign.Statement)
		}
		law, article, _ := n.basis(st.Basis)
		cells := []string{
			u.Time.Format(time.RFC3339), n.member(st.Consumer.MemberID), st.Consumer.String(), st.Official.Role, st.Official.Assurance.String(), strings.Join(st.OnBehalfOf, " "),
			n.member(st.Service.MemberID), n.service(st.Service), n.purpose(st.Purpose), law, article, string(st.Case), st.Mandate.Kind.String(), st.Outcome.String(), joinText(st.Reasons),
			joined(st.Fields), joinText(u.Differences), st.Exchange.String(),
		}
		for _, h := range []*subject.Held{u.Provider, u.Consumer} {
			if h == nil {
				cells = append(cells, "", "")
				continue
			}
			cells = append(cells, string(h.Origin), strconv.FormatUint(h.Entry.Index, 10))
		}
		f.row(cells...)
	}
	f.rows += len(uses)
	return true, f.flush()
}

func (f *csvFile) end(h *subject.History) error {
	if missing := silent(f.names, h); len(missing) > 0 {
		f.row("end of list", "incomplete", f.count(), "no answer, or not all, from: "+strings.Join(missing, "; "))
	} else {
		f.row("end of list", "complete", f.count())
	}
	return f.flush()
}

func (f *csvFile) breakOff() error {
	f.row("list broken off", "incomplete", f.count(), "the portal failed: take the list again")
	return f.flush()
}

func (f *csvFile) count() string { return strconv.Itoa(f.rows) + " entries" }

func joinText[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = string(s)
	}
	return strings.Join(out, " ")
}

// jsonFile is the history for programs. Whether it is complete stands at its end, so that a file that was cut short is no JSON.
type jsonFile struct {
	out     io.Writer
	session *session
	names   *names
	rows    int
}

// literal is what jsonFile writes as it stands.
type literal string

func (f *jsonFile) write(parts ...any) error {
	for _, p := range parts {
		text, ok := p.(literal)
		if !ok {
			encoded, err := json.Marshal(p)
			if err != nil {
				return countersign.RefuseBecause(countersign.CodeInternal, err, "the history cannot be written")
			}
			text = literal(encoded)
		}
		if _, err := io.WriteString(f.out, string(text)); err != nil {
			return errReaderGone
		}
	}
	return nil
}

func (f *jsonFile) begin(h *subject.History) error {
	return f.write(literal("{\n\"view\": "), h.View, literal(",\n\"at\": "), h.At, literal(",\n\"uses\": ["))
}

func (f *jsonFile) page(uses []*subject.Use) (bool, error) {
	for _, u := range uses {
		between := literal(",\n")
		if f.rows == 0 {
			between = "\n"
		}
		if err := f.write(between, apiUseOf(f.session, f.names, u)); err != nil {
			return false, err
		}
		f.rows++
	}
	return true, nil
}

func (f *jsonFile) end(h *subject.History) error {
	return f.write(literal("\n],\n\"count\": "), f.rows, literal(",\n\"complete\": "), h.Complete(), literal(",\n\"members\": "), apiMembers(f.names, h.Members), literal("\n}\n"))
}

func (f *jsonFile) breakOff() error { return nil }

// proofFile is every receipt with the policy, for countersign verify, in one archive.
type proofFile struct {
	ctx     context.Context //nolint:containedctx // of the one request that the file is sent in
	server  *Server
	archive *zip.Writer
	person  *subject.Person
	names   *names
	entries int
	cut     bool
	lacking []string
}

func (f *proofFile) add(name string, text []byte) error {
	to, err := f.archive.Create(name)
	if err == nil {
		_, err = to.Write(text)
	}
	if err != nil {
		return errReaderGone
	}
	return nil
}

func (f *proofFile) begin(*subject.History) error {
	policy, err := f.server.o.Policy()
	if err != nil {
		return err
	}
	return f.add("policy.txt", policy)
}

func (f *proofFile) page(uses []*subject.Use) (bool, error) {
	for _, u := range uses {
		if f.entries == maxProofs {
			f.cut = true
			return false, nil
		}
		f.entries++
		for _, h := range []*subject.Held{u.Provider, u.Consumer} {
			if h == nil {
				continue
			}
			if f.ctx.Err() != nil {
				return false, errReaderGone
			}
			name := fmt.Sprintf("%s-%d.json", strings.ReplaceAll(string(h.Origin), "/", "_"), h.Entry.Index)
			receipt, err := f.server.o.Subject.Receipt(f.ctx, f.person, h.Member, h.Gateway, h.Entry.Index)
			if err != nil {
				f.lacking = append(f.lacking, name+": "+countersign.MessageOf(err))
				continue
			}
			text, err := json.MarshalIndent(receipt, "", "  ")
			if err != nil {
				return false, countersign.RefuseBecause(countersign.CodeInternal, err, "a receipt cannot be written")
			}
			if err := f.add(name, text); err != nil {
				return false, err
			}
		}
	}
	if f.archive.Flush() != nil {
		return false, errReaderGone
	}
	return true, nil
}

// end names what the archive lacks: nothing is left out in silence.
func (f *proofFile) end(h *subject.History) error {
	if f.cut {
		f.lacking = append(f.lacking, fmt.Sprintf("The archive holds the proofs of the newest %d entries. For older ones search by dates, and download again.", maxProofs))
	}
	for _, name := range silent(f.names, h) {
		f.lacking = append(f.lacking, "No answer, or not all, from: "+name)
	}
	if len(f.lacking) > 0 {
		if err := f.add("lacking.txt", []byte(strings.Join(f.lacking, "\n")+"\n")); err != nil {
			return err
		}
	}
	if f.archive.Close() != nil {
		return errReaderGone
	}
	return nil
}

// breakOff leaves the archive without its directory: no program opens it as if it were whole.
func (f *proofFile) breakOff() error { return nil }
