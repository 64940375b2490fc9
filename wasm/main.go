//go:build js && wasm

// Command wasm is the root package's verification for browsers and node: the same code that `countersign verify` runs, compiled to WebAssembly.
// It defines one function, countersignVerify(policy, receipt), of two texts; it reads no network and no clock. The browser's check is a
// convenience: whoever serves the page serves this program too. The independent check is the file.
package main

import (
	"syscall/js"

	"countersign.dev/countersign/wasm/verify"
)

func main() {
	js.Global().Set("countersignVerify", js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) != 2 || args[0].Type() != js.TypeString || args[1].Type() != js.TypeString {
			return verify.Unusable("countersignVerify(policy, receipt) takes two texts")
		}
		return verify.JSON(args[0].String(), args[1].String())
	}))
	select {} // the function lives as long as the page
}
