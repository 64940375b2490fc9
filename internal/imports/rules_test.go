package imports

// leaves are small packages with one job each, which every part may use because they know nothing of any.
var leaves = []string{
	"internal/clock",
	"internal/httpsig",
	"internal/identity",
	"internal/keys",
	"internal/xroad",
}

// row says what the production files of one folder, and of those below it, may import of this module. Folders below it may
// also import each other and it.
type row struct {
	folder  string
	may     []string // folders, each with those below it; "." is the root package alone
	leaves  bool     // the leaves too
	any     bool     // everything that no forbidden edge takes away
	because string
	outside []string // if set, the only import paths from outside, each with those below it, besides the standard library
}

// rows is the shape of the module. The row with the longest folder that fits holds.
var rows = []row{
	{
		folder: ".",
		outside: []string{
			"golang.org/x/mod/sumdb",
			"github.com/transparency-dev/formats",
		},
		because: "outsiders import the root package to check us: it must be small enough to read, and must build with the standard library and the formats of the log (notes, tree proofs) alone; a library of CBOR once brought a web server into the offline check",
	},
	{
		folder:  "internal/clock",
		because: "everything takes its time from here, so that it can depend on nothing",
	},
	{
		folder:  "internal/httpsig",
		may:     []string{".", "internal/clock"},
		because: "signatures of messages are a format; who may sign is the federation's to know",
	},
	{
		folder:  "internal/identity",
		may:     []string{".", "internal/clock"},
		because: "who a token speaks of is read from the token and from the issuers that it is given; what that opens is decided elsewhere",
	},
	{
		folder:  "internal/keys",
		may:     []string{".", "internal/clock"},
		because: "a key signs what it is given; what is worth signing is decided elsewhere",
	},
	{
		folder:  "internal/xroad",
		may:     []string{".", "internal/clock"},
		because: "the protocol towards information systems is a format that both sides of an exchange read",
	},
	{
		folder:  "internal/federation",
		may:     []string{"."},
		leaves:  true,
		because: "who may speak is decided by the signed directory alone, never by why they ask, what happened before or where the data lie",
	},
	{
		folder:  "internal/mandate",
		may:     []string{"."},
		leaves:  true,
		because: "why they may ask is decided on the statement alone; a decision that could look into registers or records could be made to depend on them",
	},
	{
		folder:  "internal/ledger",
		may:     []string{"."},
		leaves:  true,
		because: "what happened is recorded as it was stated; a log that knew of mandates or registers could choose what to record",
	},
	{
		folder:  "internal/register",
		may:     []string{"."},
		leaves:  true,
		because: "where data live is reached only through an exchange; an adapter that knew of mandates or the log could answer without them",
	},
	{
		folder:  "internal/exchange",
		may:     []string{".", "internal/federation", "internal/mandate", "internal/ledger", "internal/register"},
		leaves:  true,
		because: "one exchange is who, why, what happened and where, in that order, and the only place where the four meet",
	},
	{
		folder:  "internal/subject",
		may:     []string{".", "internal/ledger"},
		leaves:  true,
		because: "what the person sees is what the log holds, and nothing that the log does not hold",
	},
	{
		folder:  "internal/oversight",
		may:     []string{".", "internal/ledger", "internal/mandate"},
		leaves:  true,
		because: "the watchdog compares what happened with why it was allowed; it needs no register and no way to ask",
	},
	{
		folder:  "internal/web",
		may:     []string{".", "internal/exchange", "internal/subject", "internal/oversight"},
		leaves:  true,
		because: "pages show what the person's and the overseers' parts hand them, and ask through an exchange like everybody else",
	},
	{
		folder:  "internal/store",
		may:     []string{".", "internal/ledger", "internal/mandate", "internal/subject/notice"},
		leaves:  true,
		because: "a store implements the interfaces of the log, of the budgets and of notices; what is stored, and when, is theirs to say",
	},
	{
		folder:  "internal/imports",
		because: "it checks the others and is part of none",
	},
	{
		folder:  "demo",
		may:     []string{".", "internal/federation", "internal/mandate", "internal/ledger", "internal/register"},
		leaves:  true,
		because: "the demo sets up a federation as its bodies would, and runs the same binary as everybody; it has no short cut into an exchange",
	},
	{
		folder:  "cmd",
		any:     true,
		because: "the command wires the parts together",
	},
	{
		folder:  "bench",
		may:     []string{"internal/clock"},
		because: "the yardstick sees a gateway as its clients do, from outside",
	},
	{
		folder:  "e2e",
		may:     []string{"."},
		leaves:  true,
		because: "it checks formats against implementations that share no code with us, and the whole from outside",
	},
	{
		folder:  "wasm",
		may:     []string{"."},
		because: "the browser's check is the offline verification that everybody imports, and nothing else",
	},
	{
		folder:  "scripts",
		because: "the build's own tools need nothing of what they build",
	},
}

// edge is an import that is forbidden whatever a row allows. It gives the reason that a row, which says what is allowed, lacks.
type edge struct {
	from    string   // folder with those below it; empty: every folder
	but     []string // except these, each with those below it
	to      string   // folder with those below it
	because string
}

var forbidden = []edge{
	{
		from: "internal/web", to: "internal/register",
		because: "the portal must not reach a register, because a page that can would be a way to ask without authority and without a record",
	},
	{
		from: "internal/web", to: "internal/store",
		because: "the portal must not reach a store, because it is to show what gateways answer and prove, live, and hold no history of its own",
	},
	{
		but: []string{"cmd", "internal/store"}, to: "internal/store",
		because: "a part that names its store is tied to it; only the command chooses one, everything else sees an interface",
	},
	{
		but: []string{"cmd", "demo"}, to: "demo",
		because: "synthetic people and keys made on the spot must not be within reach of a part that serves real ones",
	},
	{
		but: []string{"cmd"}, to: "cmd",
		because: "wiring is the last thing to happen: nothing builds on it",
	},
	{
		but: []string{"bench"}, to: "bench",
		because: "what is measured must not know that it is",
	},
	{
		but: []string{"scripts"}, to: "scripts",
		because: "the build's tools are no part of what is built",
	},
}

// testOnly are import paths, each with those below it, that belong in tests. A production file may import them only in a
// conformance suite: a package named conformance, or ending in test, which in turn only tests and other suites import.
var testOnly = []string{
	"testing",
	"net/http/httptest",
	"github.com/google/go-cmp",
	"github.com/rogpeppe/go-internal/testscript",
	"pgregory.net/rapid",
}

const testOnlyBecause = "what serves real people carries no mocks and no test hooks"

// use rules: what no production file does, except in the folders named.
var unwelcome = []struct {
	what    string
	except  []string
	tests   bool // nor any test
	because string
}{
	{what: "time.Now", except: []string{"internal/clock"}, because: "all parts take their time from one clock, so that a whole federation can run on simulated time"},
	{what: "time.Since", except: []string{"internal/clock"}, because: "it reads the machine's clock: subtract from what a clock.Clock says"},
	{what: "time.Until", except: []string{"internal/clock"}, because: "it reads the machine's clock: subtract from what a clock.Clock says"},
	{what: "clock.System", except: []string{"internal/clock", "bench"}, because: "a part that reads the machine's clock does not follow its federation on simulated time: clock.Default follows both"},
	{what: `import . "time"`, tests: true, because: "it hides where the time comes from"},
	{what: "func init", tests: true, because: "what runs before main runs without configuration, without an error to return and in an order that nobody chose"},
}
