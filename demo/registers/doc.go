// Package registers runs the registers of the fictional country's agencies: real SQLite databases, one file per agency,
// and real HTTP services that read them. They are the information systems behind the gateways of the demo and know
// nothing of Countersign.
//
// [Build] fills a folder from a [country.Config]; on a folder that is already filled it changes nothing, so that a
// restart keeps what was written meanwhile (an address changed with PUT, for instance). [Serve] serves one agency's
// register on a listener until its context ends. [country.Open] on the same folder says who is in it.
//
// # Services
//
// A service's paths begin with its code, so that the base address of a service is the register's address and the code.
//
//	POP person      GET /person/{pin}           identity, with address, document and photo digest
//	                PUT /person/{pin}/address   moves the person; answers the residence
//	    residence   GET /residence/{pin}        address, since when, size of the household
//	    family      GET /family/{pin}           spouse, children, parents, with their codes
//	    check       POST /check                 {"pin","surname"} → {"match"}; an unknown person does not match
//	VEH vehicles    GET /vehicles/{pin}         the vehicles that a person owns
//	    plate       GET /plate/{plate}          a vehicle and its owners: the people are in the answer
//	    licence     GET /licence/{pin}          the driving licence, if held
//	    statistics  GET /statistics/models      vehicles by make and model (open; no group under 10)
//	SOC benefits    GET /benefits/{pin}         benefit cases, open and closed
//	    employment  GET /employment/{pin}       employment contracts
//	    cases       GET /cases/{case}?pin=      is this case open for this person
//	CLN records     GET /records/{pin}          treatments and visits as a FHIR R4 Bundle
//	    treatments  GET /treatments/{id}?pin=   is this treatment open for this person
//	MUN property    GET /property/{pin}         homes and land that a person owns
//	    permits     GET /permits/{pin}          residence permits
//	    companies   GET /companies/{code}       a legal person (open)
//	    opendata    GET /opendata/parcels       land parcels without owners (open; ?bytes=N streams N bytes)
//	POL cases       GET /cases/{case}?pin=      is this case open, and is this person a party
//	    wanted      GET /wanted/{pin}           {"wanted": yes or no}
//
// Every register also answers GET /openapi/{service}.json with the OpenAPI 3 description of a service ([OpenAPI] gives
// the same document) and GET /healthz. Answers are JSON, errors are RFC 9457 problem details: 400 for what cannot be a
// code, a case or a body, 404 for a person, case or plate that the register does not know. A case of somebody else is
// answered like one that does not exist. Neither errors nor logs name a person.
package registers
