// Package audit compares what a client received with what both parties' logs say, as an outsider would: over HTTP, with the policy and the
// signed directory in hand, and no word of the gateways taken for it.
//
//   - It reads each log whole, rebuilds its Merkle tree from the leaves, and accepts it only where the root is the one that the log signed and a
//     quorum of witnesses cosigned.
//   - Every answer that the client holds must have a signed promise, the promised leaf at the promised index, and its counterpart in the other
//     party's log, under the same commitment and with an outcome that fits.
//   - Every full receipt is verified offline, and its proof's tree must be one that the log has now grown out of: a log that showed somebody
//     another history is found out.
//   - Every record of a provider must have been closed in its consumer's log, and every answer that a consumer accepted must stand in its
//     provider's.
package audit
