// Package exchange carries one question about one person from an agency's system to another agency's register and its answer back, on the
// record. It reads in the order of the act:
//
//  1. consumer.go   the consumer's gateway takes the question from its system
//  2. question.go   what was asked, by whom, why: the half of the statement that both gateways know
//  3. send.go       intent made durable, request signed, provider called
//  4. provider.go   the provider's gateway verifies, decides, reserves
//  5. answer.go     the register is asked, its fields filtered
//  6. record.go     record and leaf made durable; only then is anything released
//  7. accept.go     the consumer verifies signature, receipt and fields, and makes its own record
//  8. consumer.go   the answer is handed over
//
// Refusals take the same road. wire.go holds the headers between gateways; docs/spec/protocol.md says the same for another implementation.
package exchange
