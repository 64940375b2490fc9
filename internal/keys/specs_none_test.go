//go:build !pkcs11

package keys

import (
	"strings"
	"testing"

	"countersign.dev/countersign"
)

func TestHardwareKeysNameTheBuildTag(t *testing.T) {
	_, err := Open("pkcs11:token=demo;object=sign?module-path=/usr/lib/softhsm/libsofthsm2.so")
	if countersign.CodeOf(err) != countersign.CodeBadRequest || !strings.Contains(err.Error(), "-tags pkcs11") {
		t.Errorf("%v", err)
	}
}
