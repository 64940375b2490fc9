package web

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// localeFiles are the languages: one file each under locale for the words, one under labels for the names of registers' fields.
//
//go:embed locale/*.toml labels/*.toml
var localeFiles embed.FS

// sourceTag is the language that the pages are written in first; a message that another language lacks is shown in it.
const sourceTag = "en"

// Locales are all languages of the pages. It is safe for concurrent use.
type Locales struct {
	bundle  *i18n.Bundle
	matcher language.Matcher
	tags    []language.Tag
	labels  map[language.Tag]map[string]string

	mu      sync.Mutex
	missing map[string]bool
}

// LoadLocales reads the languages that are built in.
func LoadLocales() (*Locales, error) { return ReadLocales(localeFiles) }

// ReadLocales reads the languages of a folder: locale/TAG.toml holds messages in the form of go-i18n, labels/TAG.toml the names of fields.
// The source language, en, must be among them; one file more is one language more.
func ReadLocales(files fs.FS) (*Locales, error) {
	l := &Locales{bundle: i18n.NewBundle(language.Make(sourceTag)), labels: map[language.Tag]map[string]string{}, missing: map[string]bool{}}
	l.bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	names, err := fs.Glob(files, "locale/*.toml")
	if err != nil {
		return nil, fmt.Errorf("reading locales: %w", err)
	}
	for _, name := range names {
		text := strings.TrimSuffix(path.Base(name), ".toml")
		tag, err := language.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("locale file %s: its name is not a language tag: %w", name, err)
		}
		b, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, fmt.Errorf("reading locales: %w", err)
		}
		if _, err := l.bundle.ParseMessageFileBytes(b, text+".toml"); err != nil {
			return nil, fmt.Errorf("locale file %s: %w", name, err)
		}
		if l.labels[tag], err = readLabels(files, text); err != nil {
			return nil, err
		}
		l.tags = append(l.tags, tag)
	}
	source := slices.Index(l.tags, language.Make(sourceTag))
	if source < 0 {
		return nil, fmt.Errorf("there is no locale/%s.toml: every message falls back to it", sourceTag)
	}
	l.tags[0], l.tags[source] = l.tags[source], l.tags[0] // a matcher falls back to its first
	l.matcher = language.NewMatcher(l.tags)
	return l, nil
}

func readLabels(files fs.FS, tag string) (map[string]string, error) {
	name := "labels/" + tag + ".toml"
	b, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // fields are then named by their paths
	}
	if err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	labels := map[string]string{}
	if err := toml.Unmarshal(b, &labels); err != nil {
		return nil, fmt.Errorf("label file %s: %w", name, err)
	}
	return labels, nil
}

// Tags lists the languages, in the order of their tags.
func (l *Locales) Tags() []string {
	out := make([]string, len(l.tags))
	for i, t := range l.tags {
		out[i] = t.String()
	}
	slices.Sort(out)
	return out
}

// Match chooses the language for a person: of the tags or Accept-Language headers given, the first that there is; else the source language.
func (l *Locales) Match(wishes ...string) string {
	for _, w := range wishes {
		tags, _, err := language.ParseAcceptLanguage(w)
		if err != nil || len(tags) == 0 {
			continue
		}
		if _, i, confidence := l.matcher.Match(tags...); confidence > language.No {
			return l.tags[i].String()
		}
	}
	return sourceTag
}

// In gives the words of one language, with times as the clocks of a place show them. Each request takes its own: a Localizer is not for
// concurrent use.
func (l *Locales) In(tag string, place *time.Location) *Localizer {
	if place == nil {
		place = time.UTC
	}
	t := language.Make(l.Match(tag))
	return &Localizer{all: l, tag: t, place: place, words: i18n.NewLocalizer(l.bundle, t.String()), printer: message.NewPrinter(t)}
}

// Missing lists the messages that were asked for and that the language or the source language lacks, as "tag id". Tests hold it empty.
func (l *Locales) Missing() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, 0, len(l.missing))
	for m := range l.missing {
		out = append(out, m)
	}
	slices.Sort(out)
	return out
}

// maxMissing bounds what a run remembers of missing messages.
const maxMissing = 1000

func (l *Locales) miss(tag language.Tag, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.missing) < maxMissing {
		l.missing[tag.String()+" "+id] = true
	}
}
