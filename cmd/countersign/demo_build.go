package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"

	"countersign.dev/countersign"
	"countersign.dev/countersign/demo/country"
	"countersign.dev/countersign/demo/law"
	"countersign.dev/countersign/demo/registers"
	"countersign.dev/countersign/internal/clock"
	"countersign.dev/countersign/internal/federation"
	"countersign.dev/countersign/internal/federation/ceremony"
	"countersign.dev/countersign/internal/keys"
	"countersign.dev/countersign/internal/register/upstream"
)

// demoPlan says which federation to make.
type demoPlan struct {
	people   int
	agencies []string // member codes
	upstream string   // of the bench service; makes a pair without registers
	portal   bool     // with the people's portal and an identity provider
	offices  []string // member codes of court and overseer

	// amend changes the law of the country before the bodies sign it; nil leaves it as it is.
	amend func(*countersign.Directory)
}

// buildDemo makes the federation in an empty folder, or finds the one that is there.
func buildDemo(ctx context.Context, dir string, plan demoPlan, progress func(string)) (*demoFile, error) {
	plan = plan.settle()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := loadDemo(dir)
	built := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		d, err = planDemo(dir, plan)
	}
	if err != nil {
		return nil, err
	}
	if plan.upstream == "" {
		if err := registers.Build(ctx, d.path("registers"), country.Config{People: plan.people}, tellProgress(progress)); err != nil {
			return nil, err
		}
	}
	if built {
		return d, nil
	}
	progress("making keys, logs and the signed directory")
	if err := d.found(ctx, plan); err != nil {
		return nil, err
	}
	return d, d.save()
}

// tellProgress tells each stage once it begins and, where it is long, each quarter of it. Stages run beside one another.
func tellProgress(progress func(string)) country.Progress {
	var mu sync.Mutex
	told := map[string]int{}
	return func(stage string, done, total int) {
		quarter := 0
		if total > longStage {
			quarter = done * 4 / total
		}
		mu.Lock()
		defer mu.Unlock()
		if last, ok := told[stage]; ok && last >= quarter {
			return
		}
		told[stage] = quarter
		if quarter == 0 {
			progress("making " + stage)
			return
		}
		progress(fmt.Sprintf("making %s %d%%", stage, quarter*25))
	}
}

// longStage is from how many things on a stage takes long enough to tell its quarters.
const longStage = 20000

// planDemo chooses names and ports.
func planDemo(dir string, plan demoPlan) (*demoFile, error) {
	doc := law.Document(clock.Default().Now())
	free, reserved, err := freeAddresses(2 + 2*len(doc.Witnesses) + 5*len(plan.agencies) + 2 + portalAddresses + officeAddresses*len(plan.offices))
	if err != nil {
		return nil, err
	}
	next := func() string { a := free[0]; free = free[1:]; return a }
	d := &demoFile{reserved: reserved, Instance: law.Instance, Witnesses: map[string]demoPart{}, Members: map[string]demoMember{}, Upstream: plan.upstream, dir: dir}
	d.Directory = demoPart{URL: "http://" + next(), Admin: "http://" + next()}
	for _, w := range doc.Witnesses {
		d.Witnesses[string(w.Name)] = demoPart{URL: "http://" + next(), Admin: "http://" + next()}
	}
	for _, code := range plan.agencies {
		m := demoMember{
			ID: law.Member(code), Client: "http://" + next(), Peer: "https://" + next(), Public: "http://" + next(), Admin: "http://" + next(),
			Config: d.path(folderOf(code), "gateway.yaml"), Keys: d.path(folderOf(code), "keys"), TokenFile: d.path(folderOf(code), "token"),
		}
		if plan.upstream == "" {
			m.Register = "http://" + next()
		}
		d.Members[code] = m
	}
	if plan.upstream == "" {
		d.Echo = &demoPart{URL: "http://" + next()}
	}
	if plan.portal {
		d.planPortal(next)
	}
	d.planOffices(plan.offices, next)
	d.Policy = d.path("policy.txt")
	return d, nil
}

func folderOf(code string) string { return strings.ToLower(code) }

func address(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest
}

// found makes everything that a real federation's parties would each make on their own machines, in the order in which they would.
func (d *demoFile) found(ctx context.Context, plan demoPlan) error {
	doc := law.Document(clock.Default().Now())
	if plan.amend != nil {
		plan.amend(doc)
	}
	if err := d.foundBodies(doc); err != nil {
		return err
	}
	if err := d.foundWitnesses(doc); err != nil {
		return err
	}
	descriptions, err := d.foundServices(doc, plan)
	if err != nil {
		return err
	}
	if err := d.foundMembers(ctx, doc); err != nil {
		return err
	}
	if err := d.foundPortal(ctx, doc); err != nil {
		return err
	}
	if err := d.foundOffices(ctx, doc); err != nil {
		return err
	}
	vkey, err := beginLog(ctx, d.directoryCmd().logParts(), "demo")
	if err != nil {
		return err
	}
	doc.Log = countersign.Log{VKey: vkey, URL: d.Directory.URL + "/log"}
	if err := d.sign(doc, descriptions); err != nil {
		return err
	}
	return federation.WriteFile(d.Policy, []byte(federation.PolicyText(doc, logsOf(doc)...)))
}

func (d *demoFile) directoryCmd() *directoryServeCmd {
	return &directoryServeCmd{
		folderFlag: folderFlag{d.path("directory")}, Online: d.path("directory-keys", "online.key"), Keys: d.path("directory-keys"),
		Origin: "directory.demo.example/log", Listen: address(d.Directory.URL), Admin: address(d.Directory.Admin),
	}
}

func (d *demoFile) bodyKey(name countersign.BodyName) string {
	return d.path("bodies", string(name), "body.key")
}

func (d *demoFile) foundBodies(doc *countersign.Directory) error {
	for i := range doc.Bodies {
		key, err := ensureKey(d.bodyKey(doc.Bodies[i].Name))
		if err != nil {
			return err
		}
		text, err := keys.EncodePublicKey(key.Public())
		if err != nil {
			return err
		}
		doc.Bodies[i].Key = string(text)
	}
	return nil
}

func (d *demoFile) foundWitnesses(doc *countersign.Directory) error {
	for i := range doc.Witnesses {
		w := &doc.Witnesses[i]
		vkey, err := initWitness(d.path("witnesses", string(w.Name)), witnessName(string(w.Name)))
		if err != nil {
			return err
		}
		w.VKey, w.URL = vkey, d.Witnesses[string(w.Name)].URL
	}
	return nil
}

func witnessName(name string) string { return name + ".witness.demo.example" }

// foundServices gives services their descriptions and their impact assessments; a pair keeps only the benchmark's service.
func (d *demoFile) foundServices(doc *countersign.Directory, plan demoPlan) (map[string][]byte, error) {
	descriptions := map[string][]byte{}
	if err := os.MkdirAll(d.path("assessments"), 0o700); err != nil {
		return nil, err
	}
	d.keepRunning(doc, plan)
	for i := range doc.Services {
		s := &doc.Services[i]
		if text := registers.OpenAPI(country.AgencyCode(s.ID.Code), s.ID.Service); text != nil {
			s.OpenAPI = strings.ToLower(s.ID.Code) + "-" + s.ID.Service + ".json"
			descriptions[s.OpenAPI] = text
		}
		if s.Assessment == nil {
			continue
		}
		if err := os.WriteFile(d.path("assessments", s.ID.Code+"-"+s.ID.Service+".txt"), law.Assessment(s), 0o600); err != nil {
			return nil, err
		}
	}
	return descriptions, nil
}

// keepRunning drops what no gateway of this demo serves: the check refuses a service that nobody could answer.
func (d *demoFile) keepRunning(doc *countersign.Directory, plan demoPlan) {
	runs := func(id countersign.ServiceID) bool {
		_, ok := d.Members[id.Code]
		return ok && (plan.upstream == "" || id.Service == "benchperson")
	}
	doc.Services = slices.DeleteFunc(doc.Services, func(s countersign.Service) bool { return !runs(s.ID) })
	doc.Standing = slices.DeleteFunc(doc.Standing, func(s countersign.StandingDeclaration) bool { return !runs(s.Service) })
	doc.Programmes = slices.DeleteFunc(doc.Programmes, func(p countersign.Programme) bool { return !runs(p.Service) })
	for i := range doc.Purposes {
		if r := doc.Purposes[i].CaseRegister; r != nil && !runs(*r) {
			doc.Purposes[i].CaseRegister = nil // nobody here could confirm a case
		}
	}
}

func (d *demoFile) foundMembers(ctx context.Context, doc *countersign.Directory) error {
	for i := range doc.Members {
		m := &doc.Members[i]
		part, ok := d.Members[m.ID.Code]
		if !ok {
			continue
		}
		if err := d.writeGatewayConfig(doc, part); err != nil {
			return err
		}
		conf, err := loadGatewayConfig(part.Config)
		if err != nil {
			return err
		}
		entry, err := initGateway(ctx, conf, part.Peer, part.Public)
		if err != nil {
			return err
		}
		m.Gateways = []countersign.Gateway{*entry}
	}
	return nil
}

// writeGatewayConfig writes a member's configuration as its operator would: see docs/operate/gateway.yaml.
func (d *demoFile) writeGatewayConfig(doc *countersign.Directory, part demoMember) error {
	folder := filepath.Dir(part.Config)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	token := base64.RawURLEncoding.EncodeToString(raw[:])
	if err := os.WriteFile(part.TokenFile, []byte(token+"\n"), 0o600); err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(token))
	conf := gatewayConfig{
		Member: part.ID, Name: "gw1", Origin: countersign.LogOrigin(strings.ToLower(part.ID.Code) + ".demo.example/log"), Data: "data", Keys: "keys",
		Listen:   listenConfig{Client: address(part.Client), Peer: address(part.Peer), Public: address(part.Public), Admin: address(part.Admin)},
		Fed:      directoryConfig{URL: d.Directory.URL, Root: "root.json"},
		Clients:  []clientConfig{{Subsystem: law.Client(part.ID.Code), TokenSHA256: hex.EncodeToString(digest[:])}},
		Services: map[string]serviceConfig{},
	}
	for _, s := range doc.Services {
		if url := d.registerURL(s, part); url != "" {
			conf.Services[s.ID.String()] = serviceConfig{HTTP: &upstream.Config{URL: url}}
		}
	}
	text, err := yaml.Marshal(conf)
	if err != nil {
		return err
	}
	return os.WriteFile(part.Config, text, 0o600)
}

// registerURL is where a service of the member lives; empty where the member does not run it.
func (d *demoFile) registerURL(s countersign.Service, part demoMember) string {
	switch {
	case s.ID.MemberID != part.ID:
		return ""
	case strings.HasPrefix(s.ID.Service, "echo"):
		if d.Echo == nil {
			return ""
		}
		return d.Echo.URL + "/" + s.ID.Service
	case s.ID.Service == "benchperson":
		return d.Upstream
	case part.Register == "":
		return ""
	}
	return part.Register + "/" + s.ID.Service
}

// sign is the ceremony: three of the five bodies sign the first document.
func (d *demoFile) sign(doc *countersign.Directory, descriptions map[string][]byte) error {
	if err := judge(doc); err != nil {
		return err
	}
	cmd := d.directoryCmd()
	online, err := ensureKey(cmd.Online)
	if err != nil {
		return err
	}
	now := clock.Default().Now()
	o := ceremony.InitOptions{Instance: doc.Instance, Bodies: doc.Bodies, Snapshot: online.Public(), Timestamp: online.Public()}
	if err := ceremony.Init(cmd.folder(), o, now); err != nil {
		return err
	}
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path("federation.json"), text, 0o600); err != nil {
		return err
	}
	if _, err := ceremony.Propose(cmd.folder(), text, descriptions, ceremony.Options{Effective: now}, now); err != nil {
		return err
	}
	for _, b := range doc.Bodies[:ceremony.DefaultThreshold] {
		key, err := keys.Load(d.bodyKey(b.Name))
		if err != nil {
			return err
		}
		if _, err := ceremony.Sign(cmd.folder().Staged(), key, ceremony.SignOptions{Judge: judge}, now); err != nil {
			return err
		}
	}
	if _, err := ceremony.Publish(cmd.folder(), now); err != nil {
		return err
	}
	root, err := os.ReadFile(cmd.folder().FirstRoot())
	if err != nil {
		return err
	}
	for _, m := range d.Members {
		if err := os.WriteFile(filepath.Join(filepath.Dir(m.Config), "root.json"), root, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(d.path("root.json"), root, 0o600)
}

// fleetOf lists the demo's processes, each a run of the binary self.
func (d *demoFile) fleetOf(self string) (*fleet, error) {
	if err := os.MkdirAll(d.path("logs"), 0o700); err != nil {
		return nil, err
	}
	f := &fleet{self: self}
	add := func(name, ready string, args ...string) {
		f.parts = append(f.parts, &process{name: name, args: args, ready: ready, log: d.path("logs", name+".log")})
	}
	cmd := d.directoryCmd()
	add("directory", d.Directory.Admin+"/readyz", "directory", "serve", "--dir", cmd.Dir, "--online", cmd.Online, "--keys", cmd.Keys,
		"--origin", cmd.Origin, "--listen", cmd.Listen, "--admin", cmd.Admin)
	for name, w := range d.Witnesses {
		add("witness-"+name, w.Admin+"/readyz", "witness", "run", "--dir", d.path("witnesses", name), "--listen", address(w.URL), "--admin", address(w.Admin),
			"--directory", d.Directory.URL, "--root", d.path("root.json"))
	}
	if d.Echo != nil {
		add("echo", d.Echo.URL+"/healthz", "demo-echo", "--listen", address(d.Echo.URL))
	}
	if d.Portal != nil {
		add("identity", d.Identity.URL+"/healthz", "demo-identity", "--dir", d.dir, "--listen", address(d.Identity.URL))
		add("portal", d.Portal.Admin+"/readyz", "portal", "run", "--config", d.Portal.Config)
		if d.Mail != nil {
			add("mail", d.Mail.URL+"/healthz", "demo-mail", "--dir", d.path("mail"), "--smtp", d.Mail.SMTP, "--listen", address(d.Mail.URL))
		}
	}
	d.officeParts(add)
	for code, m := range d.Members {
		if m.Register != "" {
			add("register-"+folderOf(code), m.Register+"/healthz", "demo-register", "--agency", code, "--dir", d.path("registers"), "--listen", address(m.Register))
		}
		add("gateway-"+folderOf(code), m.Admin+"/readyz", "gateway", "run", "--config", m.Config)
	}
	slices.SortFunc(f.parts, func(a, b *process) int { return strings.Compare(a.name, b.name) })
	return f, nil
}

// notePIDs writes the running processes into demo.json.
func (d *demoFile) notePIDs(f *fleet) error {
	pid := func(name string) int {
		if p := f.part(name); p != nil {
			return p.pid()
		}
		return 0
	}
	d.PID, d.Directory.PID = os.Getpid(), pid("directory")
	for name, w := range d.Witnesses {
		w.PID = pid("witness-" + name)
		d.Witnesses[name] = w
	}
	for code, m := range d.Members {
		m.PID, m.RegPID = pid("gateway-"+folderOf(code)), pid("register-"+folderOf(code))
		d.Members[code] = m
	}
	if d.Echo != nil {
		d.Echo.PID = pid("echo")
	}
	if d.Portal != nil {
		d.Portal.PID, d.Identity.PID = pid("portal"), pid("identity")
		if d.Mail != nil {
			d.Mail.PID = pid("mail")
		}
	}
	return d.save()
}
