package exchange

import (
	"context"
	"crypto/sha256"
	"net/http"

	"github.com/go-json-experiment/json"

	"countersign.dev/countersign"
	"countersign.dev/countersign/internal/ledger"
)

// PathDeletions is where a system of the member says that it has deleted what it received.
const PathDeletions = "/countersign/deletions"

// Deletion is a system's word that it has deleted what it received for a purpose and was to keep until the month at the longest.
//
// LAW: A18: an agency that keeps data past its retention lacks a deletion receipt, which everybody can see.
type Deletion struct {
	Client  countersign.SubsystemID `json:"client"`
	Purpose countersign.PurposeCode `json:"purpose"`
	Month   countersign.Month       `json:"month"`         // in which the purpose's retention ended
	Answers uint64                  `json:"answers"`       // that were deleted
	Kept    uint32                  `json:"kept,omitzero"` // that another law or a court has the agency keep
}

const maxDeletion = 4 << 10

// deleted serves PathDeletions and answers with the log's promise: the deletion receipt.
func (c *Consumer) deleted(w http.ResponseWriter, r *http.Request) {
	out, err := c.deletion(r)
	if err != nil {
		c.fail(w, r, countersign.NewExchangeID(c.now()), err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.MarshalWrite(w, out) // whoever hung up says it again
}

func (c *Consumer) deletion(r *http.Request) (*countersign.Receipt, error) {
	if r.Method != http.MethodPost {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "a deletion is told by POST")
	}
	may, err := c.Authenticate(r)
	if err != nil {
		return nil, err
	}
	var d Deletion
	if err := json.UnmarshalRead(http.MaxBytesReader(nil, r.Body, maxDeletion), &d, json.RejectUnknownMembers(true)); err != nil {
		return nil, countersign.RefuseBecause(countersign.CodeBadRequest, err, "the deletion cannot be read: client, purpose, month (YYYY-MM) and answers are due, kept may be added")
	}
	if !may(d.Client) || d.Client.MemberID != c.Member {
		return nil, countersign.Refuse(countersign.CodeUnauthenticated, "the system that tells of a deletion did not prove to be the client that it names")
	}
	rules, err := c.rulebook()
	if err != nil {
		return nil, err
	}
	if _, ok := rules.view.Purpose(d.Purpose); !ok {
		return nil, countersign.Refuse(countersign.CodeUnknownPurpose, "the directory has no purpose %q", d.Purpose)
	}
	if now := c.now(); d.Month == 0 || now.Before(d.Month.End()) {
		return nil, countersign.Refuse(countersign.CodeBadRequest, "the month of a deletion is one that is over")
	}
	return c.recordDeletion(r.Context(), &d)
}

// recordDeletion puts a deletion into the log once. The same words again get the same receipt; other words about it are refused.
func (c *Consumer) recordDeletion(ctx context.Context, d *Deletion) (*countersign.Receipt, error) {
	c.deletions.Lock()
	defer c.deletions.Unlock()
	told := countersign.Destruction{Consumer: d.Client.String(), Purpose: d.Purpose, Month: d.Month, Records: d.Answers, Kept: d.Kept}
	sum := sha256.Sum256([]byte("countersign deletion\x00" + told.Consumer + "\x00" + string(told.Purpose) + "\x00" + told.Month.String()))
	id := countersign.ExchangeID(sum[:len(countersign.ExchangeID{})])
	before, err := c.Log.ByExchange(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(before) > 0 {
		s := before[0]
		if was, err := s.Leaf.Destruction(); err != nil || *was != told {
			return nil, countersign.RefuseBecause(countersign.CodeReplay, err, "the deletion of %s for this purpose is on record with other numbers: what is on record stays", d.Month)
		}
		placed, err := c.Log.Promise(ctx, s)
		if err != nil {
			return nil, err
		}
		return placed.Receipt(nil, nil), nil
	}
	placed, err := c.Log.Append(ctx, ledger.Entry{Leaf: told.Leaf(countersign.HourOf(c.now())), Exchange: id})
	if err != nil {
		return nil, err
	}
	return placed.Receipt(nil, nil), nil
}
