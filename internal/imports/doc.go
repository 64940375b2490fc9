// Package imports holds the shape of the module: which package may import which, each edge with its reason, and the few things
// that no production file may do. It has tests alone. They parse the files of the module while they run, every build tag
// included, so that neither the test cache nor a tag can hide an edge.
//
// A package without a row in rules_test.go fails the test: whoever adds one says there what it may reach, and why.
package imports
