package subject

import (
	"strings"

	"countersign.dev/countersign"
)

// trackerWords puts records into words of the directory. The protocol has one field for why, so that everything a person must know stands in it.
type trackerWords struct {
	known *known
	lang  string
}

// What no entry of the directory says.
var (
	trackerRefused = countersign.Text{"en": "Refused", "az": "Rədd edildi", "ru": "Отказано"}
	trackerView    = countersign.Text{"en": "Your own look at your record", "az": "Öz qeydlərinizə baxışınız", "ru": "Ваш собственный просмотр записей"}
	trackerOnward  = countersign.Text{"en": "on behalf of", "az": "adından:", "ru": "от имени:"}
)

func (w *trackerWords) action(st *countersign.Statement, view bool) string {
	if view {
		return trackerView.In(w.lang)
	}
	parts := []string{w.purpose(st.Purpose), w.service(st.Service)}
	text := strings.Join(parts, ": ")
	if st.Outcome != countersign.OutcomeReleased {
		text = trackerRefused.In(w.lang) + ": " + text
	}
	if len(st.OnBehalfOf) > 0 { // LAW: A14: the person sees the true principal
		text += ", " + trackerOnward.In(w.lang) + " " + strings.Join(st.OnBehalfOf, ", ")
	}
	return text
}

func (w *trackerWords) purpose(code countersign.PurposeCode) string {
	for i := range w.known.doc.Purposes {
		if p := &w.known.doc.Purposes[i]; p.Code == code {
			if text := p.Text.In(w.lang); text != "" {
				return text
			}
		}
	}
	return string(code)
}

func (w *trackerWords) service(id countersign.ServiceID) string {
	for i := range w.known.doc.Services {
		if s := &w.known.doc.Services[i]; s.ID == id {
			if text := s.Text.In(w.lang); text != "" {
				return text
			}
		}
	}
	return id.Service
}

func (w *trackerWords) member(id countersign.MemberID) string {
	for i := range w.known.doc.Members {
		if m := &w.known.doc.Members[i]; m.ID == id {
			return m.Text.In(w.lang)
		}
	}
	return ""
}

func (w *trackerWords) system(id countersign.SubsystemID) string {
	for i := range w.known.doc.Members {
		if m := &w.known.doc.Members[i]; m.ID == id.MemberID {
			for _, s := range m.Subsystems {
				if text := s.Text.In(w.lang); s.Code == id.Subsystem && text != "" {
					return text
				}
			}
		}
	}
	if id.Subsystem == "" {
		return id.MemberID.String()
	}
	return id.Subsystem
}

// leaf takes from the public leaf what is left of a record that was destroyed. It refuses leaves that tell of no use.
func (w *trackerWords) leaf(l *countersign.Leaf, st *countersign.Statement) error {
	var err error
	if st.Consumer, err = countersign.ParseSubsystemID(l.Consumer); err != nil {
		return err
	}
	st.Service, err = countersign.ParseServiceID(l.Service)
	return err
}
