// Package identity establishes people by OpenID Connect: it verifies identity tokens of the issuers that the signed directory names, and binds a
// person's token to the one session in which the person asks.
//
// A person's token alone opens nothing. Its nonce commits to the public half of a session's key and to the portal that made it; every query carries a
// proof signed with that key. So a portal's own keys read nothing, a stolen token reads nothing without the session's key, and neither is of use
// to another member.
//
// # Trusted? What can its thief do?
//
// An issuer is trusted to say who somebody is, for as long as the directory lists it. Whoever holds an issuer's signing key can pose as any person
// through a portal, and each such view leaves the portal's record, which the real person sees. A session's key lives in a portal's memory for an hour at most.
package identity
