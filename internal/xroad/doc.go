// Package xroad is the X-Road message protocol for REST as pure code: request lines, headers, the request hash, error bodies and the
// formats of the metadata services. It opens no sockets and keeps no state; both gateways use it, so that they cannot disagree.
//
// Sources are PR-REST 1.0.4, PR-MREST, PR-META and the behaviour of X-Road 7.8. Where Countersign is stricter than X-Road, or departs from
// it, the declaration says so and why.
package xroad
