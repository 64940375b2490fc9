package country

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// AtlasFile is the name of the atlas in a demo folder.
const AtlasFile = "country.json"

// ErrNoAtlas says that a folder holds no country, or not yet a whole one: build the registers there first.
var ErrNoAtlas = errors.New("country: no country in this folder")

// Atlas is what scenario code needs to know of a country without generating it again: which one it is, who plays which
// part, and everybody's code. It is written when the registers are complete, and agrees with them.
type Atlas struct {
	Config    Config `json:"config"`
	Reference Date   `json:"reference"`
	Digest    string `json:"digest"`
	Cast      Cast   `json:"cast"`
	PINs      []PIN  `json:"pins"`
}

// Atlas draws up the country's atlas. PINs stand in the order of generation, families together.
func (c *Country) Atlas() (*Atlas, error) {
	cast, err := c.Cast()
	if err != nil {
		return nil, err
	}
	digest, err := c.Digest()
	if err != nil {
		return nil, err
	}
	a := &Atlas{Config: c.Config, Reference: ReferenceDate, Digest: digest, Cast: cast, PINs: make([]PIN, len(c.People))}
	for i := range c.People {
		a.PINs[i] = c.People[i].PIN
	}
	return a, nil
}

// Save writes the atlas into dir, whole or not at all.
func (a *Atlas) Save(dir string) error {
	data, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("country: atlas: %w", err)
	}
	path := filepath.Join(dir, AtlasFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("country: atlas: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("country: atlas: %w", err)
	}
	return nil
}

// Open reads the atlas of a demo folder. The error is [ErrNoAtlas] where there is none.
func Open(dir string) (*Atlas, error) {
	data, err := os.ReadFile(filepath.Join(dir, AtlasFile)) //nolint:gosec // the folder is the operator's own choice
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s", ErrNoAtlas, dir)
	case err != nil:
		return nil, fmt.Errorf("country: atlas: %w", err)
	}
	var a Atlas
	if err := json.Unmarshal(data, &a); err != nil {
		return nil, fmt.Errorf("country: atlas %s: %w", filepath.Join(dir, AtlasFile), err)
	}
	return &a, nil
}
