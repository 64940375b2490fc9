// Command countersign is every part of a Countersign federation in one binary: gateway, directory, witness, and the tools of those who check
// them. `countersign --help` explains each; the thin files beside this one wire the packages under internal/ together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"countersign.dev/countersign"
)

// version is set by the linker from the repository's tag.
var version = "development"

// cli is the command line. Each command's fields are its flags; its Run method does the work.
type cli struct {
	Gateway   gatewayCmd   `cmd:"" help:"Run a member's gateway: ask other members' registers, answer for one's own, keep the log."`
	Directory directoryCmd `cmd:"" help:"The signed directory: its ceremony, and the server that publishes it."`
	Witness   witnessCmd   `cmd:"" help:"Run a witness: cosign logs that only ever grow (C2SP tlog-witness)."`
	Case      caseCmd      `cmd:"" help:"Answer and decide people's objections and corrections, for agencies and the independent body."`
	Portal    portalCmd    `cmd:"" help:"The people's portal: who asked about me, why, at what, proved."`
	Ask       askCmd       `cmd:"" help:"Put one question about one person through one's own gateway."`
	Verify    verifyCmd    `cmd:"" help:"Check a receipt offline under a pinned policy. Exit status: 0 valid, 1 invalid, 2 unusable."`
	Audit     auditCmd     `cmd:"" help:"Compare what a client received with both parties' logs, as an outsider. Exit status: 0 all on record, 1 not, 2 unusable."`
	Court     courtCmd     `cmd:"" help:"Run a court: issue, withdraw and review warrants, with keys and a log of its own."`
	Oversight oversightCmd `cmd:"" help:"Run an overseer: review emergencies, suspend the right to them, with keys and a log of its own."`
	Emergency emergencyCmd `cmd:"" help:"Have one's own gateway declare an emergency in which two officials stand for a life in danger."`
	Policy    policyCmd    `cmd:"" help:"Check, explain and compare what directory documents permit."`
	Preview   previewCmd   `cmd:"" help:"Show, before asking, what the person will later read about the question."`
	Decision  decisionCmd  `cmd:"" help:"Put on record what was decided about a person, on which answers, and who answers for it."`
	Deleted   deletedCmd   `cmd:"" help:"Put on record that a system has deleted what it received, when its retention had ended."`
	Consent   consentCmd   `cmd:"" help:"A person's consent: written down, given by a login, withdrawn at any time."`
	Record    recordCmd    `cmd:"" help:"Read a member's own records, from its own store and keys."`
	Demo      demoCmd      `cmd:"" help:"Create a fictional country's federation and run it on loopback."`
	Gallery   galleryCmd   `cmd:"" help:"Render every page of the portal from canned data, to be looked at."`

	ledgerTools // for whoever keeps, checks or watches logs

	DemoRegister demoRegisterCmd `cmd:"" hidden:""`
	DemoEcho     demoEchoCmd     `cmd:"" hidden:""`
	Simulation   simulation      `embed:""`
	DemoCaseCode demoCaseCodeCmd `cmd:"" hidden:"" help:"Get a case code for a letter from the demo's identity provider."`
	DemoLogin    demoLoginCmd    `cmd:"" hidden:"" help:"Log in at the demo's identity provider and print the token."`
	DemoIdentity demoIdentityCmd `cmd:"" hidden:""`
	DemoKeys     demoKeysCmd     `cmd:"" hidden:"" help:"Rotate or withdraw signing keys of the demo's identity provider."`
	DemoMail     demoMailCmd     `cmd:"" hidden:""`

	Version kong.VersionFlag `help:"Show the version."`
}

// streams are where a command reads and writes; a test gives its own.
type streams struct {
	out io.Writer
	err io.Writer
}

func main() { os.Exit(run(os.Args[1:], streams{os.Stdout, os.Stderr})) }

// Exit statuses. Commands that promise others say so in their help.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUnusual = 2 // bad usage, or a file that cannot be used
)

// exit is an error that carries its own status and is otherwise silent.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func run(args []string, io streams) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	status := -1
	parser, err := kong.New(&c,
		kong.Name("countersign"),
		kong.Description("A federated exchange for public registers that keeps the state answerable to the person."),
		kong.Vars{"version": version},
		kong.Writers(io.out, io.err),
		kong.Exit(func(code int) { status = code }),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{NoExpandSubcommands: true, Compact: true}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(io),
	)
	if err != nil {
		fmt.Fprintln(io.err, "countersign:", err)
		return exitUnusual
	}
	parsed, err := parser.Parse(args)
	if status >= 0 { // --help and --version have said all
		return status
	}
	if err != nil {
		fmt.Fprintf(io.err, "countersign: %v\nTry countersign --help.\n", err)
		return exitUnusual
	}
	return statusOf(parsed.Run(), io)
}

// statusOf renders a command's error once: the message for people, the code for scripts.
func statusOf(err error, io streams) int {
	if err == nil {
		return exitOK
	}
	if e, ok := errors.AsType[exit](err); ok {
		return int(e)
	}
	if r, ok := errors.AsType[*countersign.Refusal](err); ok {
		// What stands around a refusal says where it arose; its code is told once, at the end.
		fmt.Fprintf(io.err, "countersign: %s (%s)\n", strings.ReplaceAll(err.Error(), r.Code.String()+": ", ""), r.Code)
		if why := countersign.CauseOf(r); why != nil {
			fmt.Fprintf(io.err, "  because: %v\n", why)
		}
		return exitFailed
	}
	fmt.Fprintln(io.err, "countersign:", err)
	return exitFailed
}
