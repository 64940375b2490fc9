package countersign

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func TestRefusals(t *testing.T) {
	secret := errors.New("driver: row of Aytən")
	r := RefuseBecause(CodeStore, secret, "the record of %d leaves is not durable", 3)
	wrapped := fmt.Errorf("appending: %w", r)
	switch {
	case CodeOf(wrapped) != CodeStore, !errors.Is(wrapped, CodeStore), errors.Is(wrapped, CodeBusy):
		t.Errorf("the code of %v is %s", wrapped, CodeOf(wrapped))
	case !errors.Is(wrapped, secret), !errors.Is(CauseOf(r), secret):
		t.Error("the cause is lost to the operator")
	case MessageOf(wrapped) != "the record of 3 leaves is not durable", strings.Contains(r.Error(), "Aytən"):
		t.Errorf("the caller reads %q", r.Error())
	}
	if CauseOf(Refuse(CodeBusy, "wait")) != nil || len(Refuse(CodeBusy, "wait").Unwrap()) != 1 {
		t.Error("a refusal without cause has one")
	}
}

func TestStrangeErrorsTellNothing(t *testing.T) {
	strange := fmt.Errorf("select from people where pin = 1AB: %w", io.ErrUnexpectedEOF)
	if CodeOf(strange) != CodeInternal || strings.Contains(MessageOf(strange), "1AB") {
		t.Errorf("%s: %s", CodeOf(strange), MessageOf(strange))
	}
	if got := CodeOf(fmt.Errorf("asking: %w", CodeReplay)); got != CodeReplay {
		t.Errorf("a bare code is %s", got)
	}
	if CodeInternal.String() != "internal" || !CodeInternal.Temporary() {
		t.Error("the zero code is not our own failure")
	}
}

func TestOnlyTheSurroundingsAreTemporary(t *testing.T) {
	for code, temporary := range map[Code]bool{
		CodeBusy: true, CodeStore: true, CodeNoQuorum: true, CodeStaleDirectory: true, CodeNetwork: true, CodeRegister: true, CodeMaintenance: true, CodeBudget: true,
		CodeBadRequest: false, CodeForbiddenCell: false, CodeReplay: false, CodeNoReceipt: false, CodeSignature: false, CodeNeverExchanged: false, CodeMandateSpent: false,
	} {
		if code.Temporary() != temporary {
			t.Errorf("%s: temporary is %v", code, !temporary)
		}
	}
}
