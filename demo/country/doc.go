// Package country makes the fictional country of the Countersign demo: one synthetic population, with households,
// kinship, homes, jobs, vehicles, benefits, treatments and police cases that agree with each other.
//
// Everything follows from [Config]: the same size and seed give the same country, byte for byte, on every machine
// ([Country.Digest] says so). No real person, place, company or code is used; the names are spelt the way Azerbaijani is,
// so that the demo meets ə, ı and ş everywhere that a national system would.
//
// [Generate] makes the country in memory. Package registers writes it into the agencies' databases and leaves an [Atlas]
// in the same folder: the list of personal codes, and a [Cast] of named people with the cases, treatments and plates
// that a scenario needs. [Open] reads it back.
package country
