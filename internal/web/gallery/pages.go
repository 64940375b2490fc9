package gallery

import (
	"github.com/a-h/templ"

	"countersign.dev/countersign/internal/web/page"
)

// Pages lists every page in every state.
func Pages() []Page {
	return []Page{
		{Name: "timeline", Shows: "a year's first page", Render: func(f page.Frame) templ.Component { return page.TimelinePage(f, speaker{f}.timeline()) }},
	}
}

// addresses and prefixes lead the portal's addresses to pages of the gallery.
var addresses = map[string]string{
	page.PathHome: "timeline", page.PathTimeline: "timeline",
}

var prefixes = map[string]string{}

var suffixes = map[string]string{}
