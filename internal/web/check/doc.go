// Package check holds the offline check of receipts for browsers: the root package compiled to WebAssembly, compressed, and Go's support script for it. Both are
// made by `go generate`, which `make build` runs before it builds; neither is in the repository. A binary that was built without them serves pages
// without the check in the browser, which is a convenience: the file and `countersign verify` are the check that matters.
package check

//go:generate go run ./build program
