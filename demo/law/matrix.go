package law

import (
	"strings"

	"countersign.dev/countersign"
)

// matrix is the table of purposes and categories. Whatever does not stand here is refused.
func matrix() []countersign.Cell {
	const none, relation, consent, warrant, emergency, programme = countersign.MandateNone, countersign.MandateRelation, countersign.MandateConsent,
		countersign.MandateWarrant, countersign.MandateEmergency, countersign.MandateProgramme
	var cells []countersign.Cell
	may := func(purpose, categories string, kinds ...countersign.MandateKind) {
		for _, c := range strings.Fields(categories) {
			cells = append(cells, countersign.Cell{Purpose: countersign.PurposeCode(purpose), Category: countersign.CategoryCode(c), Mandates: kinds})
		}
	}

	// Where there is a register of applications, it must confirm that one is open: an official's curiosity is no relation.
	may("benefit-decision", "identity residence family civil-acts employment benefits income property vehicles", relation)
	may("benefit-decision", "martyr-family", consent)
	// The person stands before the official; a confirmed relation is welcome too.
	may("subsidy-decision", "identity residence", none, relation)
	may("subsidy-decision", "utility-subsidy", consent)
	may("address-registration", "identity residence property powers-of-attorney", none, relation)
	may("property-tax", "identity residence property taxpayer", none, relation)
	may("residence-permit", "identity residence citizenship stateless-identity residence-permits name-changes employment", none, relation)
	may("vehicle-registration", "identity residence vehicles driving-licence drones", none, relation)
	may("traffic-stop", "identity photo vehicles driving-licence wanted company", none, relation)
	may("conscription", "identity residence military-registration", none, relation)
	may("weapon-permit", "identity residence weapons", none, relation)
	may("representation", "identity powers-of-attorney", none, relation)

	// An investigation sees the parties of its open cases, and more under a court's warrant, one person at a time.
	may("criminal-investigation", "identity photo residence vehicles wanted family property employment", relation, warrant)
	may("criminal-investigation", "convictions judgments health-records", warrant)
	may("criminal-investigation", "travel-bans migration-history border-crossings passenger-data regional-travel wanted-details criminal-cases", warrant)
	may("criminal-investigation", "utilities guest-lists bank communications-metadata location", warrant)

	// Health: within a treatment, with consent, or to save a life.
	may("treatment", "identity residence", none, relation)
	may("treatment", "health-treatment", relation, consent, emergency)
	may("treatment", "health-records", consent, emergency)
	may("vital-interests", "identity residence family health-treatment health-records", emergency)
	may("driver-fitness", "identity", none, consent)
	may("driver-fitness", "fitness-certificate", consent)

	// Nothing but the person's own consent.
	may("diploma-check", "education", consent)
	may("appointment", "identity", none, consent)
	may("appointment", "civil-servant-career education convictions judgments", consent)
	may("refugee-support", "identity residence", none, consent)
	may("refugee-support", "refugee-status benefits", consent)

	// The person's own request, through the portal, by the person's own login.
	may("own-access", "identity citizenship photo civil-acts residence vehicles driving-licence benefits employment health-records property residence-permits", countersign.MandateOwn)

	// Machines ask: yes or no, or under a programme.
	may("housing-check", "residence", programme)
	may("identity-check", "identity", none)
	may("case-confirmation", "case-register", none, programme)

	// Open
	may("statistics-open", "company religious-organisation tourism-licence radio-licence vehicle-statistics parcels", none)

	// Demo only
	may("protocol-test", "test-open test-personal", none)
	may("bench", "test-personal", programme)
	return cells
}
