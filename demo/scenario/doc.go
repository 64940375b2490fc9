// Package scenario plays a day of the demo federation from the clients' side: a few hundred questions of six agencies, most of them in order,
// many of them not, with a provider's and a consumer's gateway killed in the middle. It knows gateways only as an information system knows
// them, and writes down what it received, for an auditor to compare with the logs.
//
// Beside it lives one family, whose year is told for its own sake: what people, officials, judges and overseers do in it goes through [Hands].
package scenario
