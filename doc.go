// Package countersign is what a stranger needs to check Countersign: the formats that leave a gateway (statement, leaf, promise, receipt,
// the directory's document) and their offline verification. It talks to no network and trusts nothing but a pinned policy.
//
// A question is answered only on the record: the provider's gateway makes a leaf durable in its Merkle log, signs a promise for it, and only then
// lets the answer go. The statement says in full what happened; both sides' logs hold only its commitment.
package countersign
