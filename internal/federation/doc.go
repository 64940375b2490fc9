// Package federation says who may speak: the signed directory of members, keys, services, purposes and witnesses.
//
// [Check] judges a document before anybody signs it. [View] is a document made ready for quick look-ups. [Client] keeps a gateway's view
// current from a TUF repository, and [Host] with [Server] are that repository's online half; its signers' half is the package ceremony.
// A document's widening changes wait in public, its narrowing ones act at once: see [Narrow] and [InForce].
package federation
