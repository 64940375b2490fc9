package page

// The portal's addresses. A trailing {handle} is a [Handle] of the session. Forms are sent by POST with the field "csrf".
const (
	PathHome           = "/"                        // login, or on to the timeline
	PathLogin          = "/login"                   // POST: issuer
	PathLogout         = "/logout"                  // POST
	PathLanguage       = "/language"                // GET: to, back (a path of ours)
	PathTimeline       = "/uses"                    // GET; POST narrows: from, until, agency, purpose, category, search, refused, clear
	PathTimelinePage   = "/uses/{handle}/page"      // GET: older or newer entries
	PathEntry          = "/uses/{handle}"           // GET
	PathCheck          = "/uses/{handle}/check"     // GET: the offline check in the browser; the only page with scripts
	PathReceipt        = "/receipt/{handle}"        // GET: a file for countersign verify
	PathPolicy         = "/policy/{handle}"         // GET: the policy file
	PathYear           = "/year"                    // GET
	PathYearOf         = "/year/{handle}"           // GET
	PathCatalogue      = "/held"                    // GET
	PathOwnData        = "/held/{handle}"           // POST: asks the register
	PathCases          = "/cases"                   // GET
	PathCase           = "/cases/{handle}"          // GET
	PathCaseReply      = "/cases/{handle}/reply"    // POST: text
	PathCaseWithdraw   = "/cases/{handle}/withdraw" // POST
	PathCaseAppeal     = "/cases/{handle}/appeal"   // POST: text
	PathCaseExport     = "/cases/{handle}/export"   // GET
	PathObject         = "/uses/{handle}/object"    // GET, POST: ground, text
	PathCorrect        = "/held/{handle}/correct"   // GET, POST: field, ground, text
	PathConsents       = "/consents"                // GET
	PathConsent        = "/consents/{handle}"       // GET; POST: answer (give or refuse), sure
	PathConsentSign    = "/consents/{handle}/sign"  // POST: on to the login service, for this consent alone
	PathConsentEnd     = "/consents/{handle}/end"   // POST: on to the login service, to withdraw this consent
	PathConsentReturn  = "/consents/return"         // GET: back from the login service
	PathSettings       = "/notices"                 // GET, POST: email, webhook, frequency
	PathSettingsRemove = "/notices/remove"          // POST
	PathExport         = "/export"                  // GET
	PathExportFile     = "/export/{format}"         // GET: csv, json, proofs
	PathExportPrint    = "/export/print"            // GET: every entry on one page, for paper or PDF
	PathHelp           = "/help"                    // GET
)
