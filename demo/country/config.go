package country

import (
	"fmt"
	"time"
)

const (
	// Instance is the code of the fictional federation in X-Road identifiers.
	Instance = "DEMO"
	// CitizenshipCode stands in identity records for the fictional country's own citizens.
	CitizenshipCode = "DMO"
	// Currency is the code of the fictional currency; amounts are kept in hundredths of it.
	Currency = "DMT"

	// DefaultPeople is the size of the population when nothing else is asked for.
	DefaultPeople = 10_000
	// MinPeople is the smallest population in which every role of the [Cast] can be filled.
	MinPeople = 300
	// MaxPeople is the largest population that the demo is sized for.
	MaxPeople = 100_000
)

// ReferenceDate is the day on which the country's records stand: nobody is born and no case is opened after it. It is
// fixed, so that the same seed gives the same country whatever the day.
var ReferenceDate = DateOf(2026, time.January, 1)

// Config says which country to make. The zero value of People means [DefaultPeople]; every Seed, zero too, is a country
// of its own.
type Config struct {
	People int    `json:"people"`
	Seed   uint64 `json:"seed"`
}

// Normalise fills the default size and refuses a size outside [MinPeople] to [MaxPeople].
func (c Config) Normalise() (Config, error) {
	if c.People == 0 {
		c.People = DefaultPeople
	}
	if c.People < MinPeople || c.People > MaxPeople {
		return Config{}, fmt.Errorf("country: people is %d: choose between %d and %d", c.People, MinPeople, MaxPeople)
	}
	return c, nil
}

// Progress is told how far a stage of the work is: done of total steps. It is called from one goroutine at a time and
// should return quickly. A nil Progress is silent.
type Progress func(stage string, done, total int)

// Report calls p unless it is nil.
func (p Progress) Report(stage string, done, total int) {
	if p != nil {
		p(stage, done, total)
	}
}
