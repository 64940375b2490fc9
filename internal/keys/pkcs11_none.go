//go:build !pkcs11

package keys

import "countersign.dev/countersign"

func openPKCS11(spec string) (Signer, error) {
	return nil, countersign.Refuse(countersign.CodeBadRequest,
		"key %q: this binary was built without hardware keys; build it with CGO_ENABLED=1 and -tags pkcs11, or use file:PATH", spec)
}
