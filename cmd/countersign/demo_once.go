package main

import (
	"context"
	"errors"
)

func (c *demoCmd) once(context.Context, streams, *demoFile, *fleet) error {
	return errors.ErrUnsupported
}
