package portal

import (
	"net/http"
	"slices"

	"countersign.dev/countersign"
)

// names gives the directory's words in one language.
type names struct {
	doc  *countersign.Directory
	lang string
}

// names are the directory's words in the language of the request.
func (s *Server) names(r *http.Request) (*names, error) {
	doc, err := s.o.Directory()
	if err != nil {
		return nil, err
	}
	return &names{doc: doc, lang: s.language(r)}, nil
}

func (n *names) member(id countersign.MemberID) string {
	for i := range n.doc.Members {
		if n.doc.Members[i].ID == id {
			return n.doc.Members[i].Text.In(n.lang)
		}
	}
	return id.String() // a member that has left the federation
}

func (n *names) system(id countersign.SubsystemID) string {
	for i := range n.doc.Members {
		if n.doc.Members[i].ID != id.MemberID {
			continue
		}
		for _, s := range n.doc.Members[i].Subsystems {
			if s.Code == id.Subsystem {
				return s.Text.In(n.lang)
			}
		}
	}
	return id.Subsystem
}

func (n *names) find(id countersign.ServiceID) *countersign.Service {
	i := slices.IndexFunc(n.doc.Services, func(s countersign.Service) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return &n.doc.Services[i]
}

func (n *names) service(id countersign.ServiceID) string {
	if s := n.find(id); s != nil {
		return s.Text.In(n.lang)
	}
	return id.Service
}

func (n *names) purposeOf(code countersign.PurposeCode) *countersign.Purpose {
	i := slices.IndexFunc(n.doc.Purposes, func(p countersign.Purpose) bool { return p.Code == code })
	if i < 0 {
		return nil
	}
	return &n.doc.Purposes[i]
}

func (n *names) purpose(code countersign.PurposeCode) string {
	if p := n.purposeOf(code); p != nil {
		return p.Text.In(n.lang)
	}
	return string(code)
}

func (n *names) basis(code countersign.BasisCode) (law, article, url string) {
	for i := range n.doc.Bases {
		if b := &n.doc.Bases[i]; b.Code == code {
			return b.Law.In(n.lang), b.Article, b.URL
		}
	}
	return string(code), "", ""
}

func (n *names) category(code countersign.CategoryCode) (name string, special bool) {
	for i := range n.doc.Categories {
		if c := &n.doc.Categories[i]; c.Code == code {
			return c.Text.In(n.lang), c.Special
		}
	}
	return string(code), false
}

func (n *names) programme(id countersign.MandateID) string {
	for i := range n.doc.Programmes {
		if p := &n.doc.Programmes[i]; string(p.ID) == string(id) {
			return p.Text.In(n.lang)
		}
	}
	return string(id)
}

// language is the one that the person chose, or that the browser asks for.
func (s *Server) language(r *http.Request) string {
	return s.o.Locales.Match(cookieOf(r, cookieLanguage), r.Header.Get("Accept-Language"))
}

// cookieLanguage holds the chosen language: no secret, and nothing about anybody.
const cookieLanguage = "language"
