// Command testreport reads the events of `go test -json` on its standard input and prints what go test would have printed: a
// line per package, and in full the output of whatever failed. It closes with the count
//
//	123 passed, 0 failed, 0 skipped
//
// alone on a line, and exits 1 when a test failed or was skipped, a package did not build, or no test ran at all.
package main

import (
	"fmt"
	"os"
)

func main() {
	report, err := read(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if err := report.print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if !report.green() {
		os.Exit(1)
	}
}
