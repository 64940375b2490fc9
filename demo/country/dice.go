package country

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/brianvoe/gofakeit/v7"
)

// dice is the seeded faker of one domain of the country. Each domain rolls its own, so that a change in how vehicles are
// made leaves the clinic's records as they were.
type dice struct{ *gofakeit.Faker }

func newDice(seed uint64, domain string) dice {
	h := sha256.Sum256([]byte("countersign demo country/" + domain))
	return dice{gofakeit.NewFaker(rand.NewPCG(seed, binary.BigEndian.Uint64(h[:8])), false)}
}

// chance is true with probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// between returns a date from first to last; where last is before first, it returns first.
func (d dice) between(first, last Date) Date {
	if last <= first {
		return first
	}
	return first + Date(d.IntN(int(last-first)+1))
}

// span returns a number of days from least to most.
func (d dice) span(least, most Date) Date { return d.between(least, most) }

// pick returns one of the items, each as likely as the others.
func pick[T any](d dice, items []T) T { return items[d.IntN(len(items))] }

// weighted returns an index of weights, each as likely as its weight.
func (d dice) weighted(weights ...int) int {
	total := 0
	for _, w := range weights {
		total += w
	}
	n := d.IntN(total)
	for i, w := range weights {
		if n < w {
			return i
		}
		n -= w
	}
	return len(weights) - 1
}

// shuffle puts the items in a random order.
func shuffle[T any](d dice, items []T) {
	for i := len(items) - 1; i > 0; i-- {
		j := d.IntN(i + 1)
		items[i], items[j] = items[j], items[i]
	}
}
