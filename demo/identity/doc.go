// Package identity is the demo's OpenID Connect provider: a program of its own, in which anybody chooses which of the fictional people to be. It asks for no
// password, so that it proves nothing: a federation marked demo is the only one whose directory may list it.
package identity
