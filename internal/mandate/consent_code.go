package mandate

import (
	"crypto/sha256"
	"encoding/base32"
)

// ConsentCode is eight letters and digits that portal and identity provider each work out from the nonce of a login for a consent, and show. A person who
// compares them knows that the login is for what the portal shows, and not for another consent that somebody slipped in between.
func ConsentCode(nonce string) string {
	sum := sha256.Sum256([]byte("countersign consent code\x00" + nonce))
	text := base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding).EncodeToString(sum[:5])
	return text[:4] + "-" + text[4:]
}
