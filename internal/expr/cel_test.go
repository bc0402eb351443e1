package expr

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"cel.dev/cel-go/common/types"

	"lessor/dhcp4"
	"lessor/internal/policy"
)

// writer writes random expressions of the whole language. Its choices come from data,
// so that a fuzzer can steer it; when that is used up the first choice is made.
type writer struct {
	data  []byte
	items []string // the variable of exists or all, with what it is
}

func (w *writer) pick(n int) int {
	if len(w.data) == 0 {
		return 0
	}
	c := int(w.data[0])
	w.data = w.data[1:]
	return c % n
}

func (w *writer) one(list ...string) string { return list[w.pick(len(list))] }

func (w *writer) truth(depth int) string {
	if depth <= 0 {
		return w.one(`known`, `option["rapid-commit"]`, `"circuit-id" in relay`, `member("phones")`, `option["ip-forwarding"]`, `true`,
			`"host-name" in option`, `option["acme-on"]`, `member("guests")`, `"relay-port" in relay`, `false`, `option["acme-switches"][1]`)
	}
	d := depth - 1
	switch w.pick(14) {
	case 0:
		return w.truth(d) + " && " + w.truth(d)
	case 1:
		return "(" + w.truth(d) + " || " + w.truth(d) + ")"
	case 2:
		return "!(" + w.truth(d) + ")"
	case 3:
		return "(" + w.truth(d) + " ? " + w.truth(d) + " : " + w.truth(d) + ")"
	case 4:
		return w.text(d) + w.one(" == ", " != ", " < ", " >= ", " <= ", " > ") + w.text(d)
	case 5:
		return w.number(d) + w.one(" == ", " != ", " < ", " >= ", " <= ", " > ") + w.number(d)
	case 6:
		return w.octets() + w.one(" == ", " != ", " < ") + w.octets()
	case 7:
		return w.text(d) + w.one(".startsWith(", ".endsWith(", ".contains(") + w.text(d) + ")"
	case 8:
		return w.leafText() + ".matches(" + w.one(`"^PXE.*:[0-9]+"`, `"o"`, `"^[a-z]+$"`, `""`) + ")"
	case 9:
		return w.text(d) + " in " + w.texts(d)
	case 10:
		return w.number(d) + " in " + w.numbers(d)
	case 11:
		return w.texts(d) + w.one(" == ", " != ") + w.texts(d)
	case 12:
		return w.numbers(d) + w.one(" == ", " != ") + w.numbers(d)
	}
	return w.quantified(d)
}

func (w *writer) quantified(depth int) string {
	if len(w.items) > 0 {
		return w.truth(depth)
	}
	list, item := "", ""
	switch w.pick(3) {
	case 0:
		list, item = w.texts(depth), "text"
	case 1:
		list, item = w.numbers(depth), "number"
	default:
		list, item = `option["acme-switches"]`, "bool"
	}
	w.items = []string{item}
	body := w.truth(depth)
	if item == "bool" {
		body = "x || " + body
	}
	w.items = nil
	return list + w.one(".exists", ".all") + "(x, " + body + ")"
}

func (w *writer) leafText() string {
	if len(w.items) > 0 && w.items[0] == "text" && w.pick(2) == 0 {
		return "x"
	}
	return w.one(`option["host-name"]`, `option["vendor-class-identifier"]`, `relay["circuit-id"]`, `hw_address`, `client_id`, `giaddr`, `ciaddr`,
		`message`, `interface`, `network`, `option["fqdn"]`, `option["acme-url"]`, `option["domain-name"]`, `option["dhcp-requested-address"]`,
		`relay["subscriber-id"]`, `relay["link-selection"]`, `relay["remote-id"]`, `option["v4-lost"]`)
}

func (w *writer) text(depth int) string {
	if depth <= 0 {
		if w.pick(2) == 0 {
			return w.leafText()
		}
		return w.one(`"PXEClient"`, `"pc-17"`, `"02:00:5e:10:00:01"`, `"eth/7"`, `"198.18.8.1"`, `"DISCOVER"`, `""`, `"c"`, `"02:"`, `"\u00e9"`, `"building-a"`, `"pc-17.corp.example"`)
	}
	d := depth - 1
	switch w.pick(9) {
	case 0:
		return "(" + w.text(d) + " + " + w.text(d) + ")"
	case 1:
		return "hex(" + w.leafText() + ")"
	case 2:
		return "hex(" + w.octets() + ")"
	case 3:
		return w.leafText() + ".lowerAscii()"
	case 4:
		return w.leafText() + ".substring(" + w.number(0) + ")"
	case 5:
		return w.leafText() + ".substring(" + w.number(0) + ", " + w.number(d) + ")"
	case 6:
		return "(" + w.truth(d) + " ? " + w.text(d) + " : " + w.text(d) + ")"
	case 7:
		return "string(" + w.one(w.number(d), w.octets()) + ")"
	}
	return w.texts(d) + "[" + w.number(0) + "]"
}

func (w *writer) octets() string {
	return w.one(`option["uuid-guid"]`, `option["dhcp-client-identifier"]`, `b"\x00DELL"`, `option["client-ndi"]`, `(option["client-ndi"] + b"x")`, `option["vivso-suboptions"]`)
}

func (w *writer) number(depth int) string {
	if depth <= 0 {
		if len(w.items) > 0 && w.items[0] == "number" && w.pick(2) == 0 {
			return "x"
		}
		return w.one(`1`, `7`, `option["dhcp-max-message-size"]`, `-2`, `option["acme-delta"]`, `option["acme-slot"]`, `0`, `258`, `9223372036854775807`,
			`relay["relay-flags"]`, `option["interface-mtu"]`, `option["dhcp-lease-time"]`, `-9223372036854775807`)
	}
	d := depth - 1
	switch w.pick(6) {
	case 0:
		return "size(" + w.one(w.text(d), w.texts(d), w.numbers(d), w.octets(), `option["acme-switches"]`) + ")"
	case 1:
		return w.numbers(d) + "[" + w.number(0) + "]"
	case 2:
		return "(" + w.truth(d) + " ? " + w.number(d) + " : " + w.number(d) + ")"
	case 3:
		return "-(" + w.number(d) + ")"
	}
	return "(" + w.number(d) + w.one(" + ", " - ", " * ", " / ", " % ") + w.number(d) + ")"
}

func (w *writer) texts(depth int) string {
	if depth <= 0 || w.pick(2) == 0 {
		return w.one(`option["user-class"]`, `option["routers"]`, `option["domain-search"]`, `["pc-17", "iPXE", "DISCOVER"]`, `option["acme-gateways"]`,
			`["198.18.8.1", "0.0.0.0"]`, `["iPXE", "lab"]`, `["02:00:5e:10:00:01", "aa"]`)
	}
	d := depth - 1
	if w.pick(3) == 0 {
		return "(" + w.truth(d) + " ? " + w.texts(d) + " : " + w.texts(d) + ")"
	}
	return "[" + w.text(d) + ", " + w.text(d) + "]"
}

func (w *writer) numbers(depth int) string {
	if depth <= 0 || w.pick(2) == 0 {
		return w.one(`option["client-system"]`, `option["acme-color"]`, `[7]`, `[1, 2, 3]`, `option["dhcp-parameter-request-list"]`, `[]`)
	}
	d := depth - 1
	if w.pick(3) == 0 {
		return "(" + w.truth(d) + " ? " + w.numbers(d) + " : " + w.numbers(d) + ")"
	}
	return "[" + w.number(d) + ", " + w.number(d) + "]"
}

// agree holds an expression against CEL's interpreter. compiled is false when the
// expression is refused.
func agree(t *testing.T, expression string, f *policy.Facts) (compiled, value bool) {
	t.Helper()
	c, err := compile(expression, testEnv)
	if err != nil {
		return false, false
	}
	root := c.checked.Expr()
	isTest := c.kind(root) == kindBool
	var got, gotText string
	var why *NoValue
	if isTest {
		test := c.test(root)
		if c.failed != nil {
			return false, false
		}
		value, why = test(f, item{})
		got = fmt.Sprint(value)
	} else {
		text := c.text(root)
		if c.failed != nil {
			return false, false
		}
		gotText, why = text(f, item{})
		if got = fmt.Sprintf("%q", gotText); why != nil {
			got = "none"
		}
	}
	p, planErr := oracle(c, isTest)
	if planErr != nil {
		t.Fatalf("%s: the interpreter refuses it: %v", expression, planErr)
	}
	v, wantWhy, evalErr := p.run(f)
	want := "none"
	switch v := v.(type) {
	case types.Bool:
		want = fmt.Sprint(bool(v))
	case types.String:
		want = fmt.Sprintf("%q", string(v))
	case types.Bytes:
		want = fmt.Sprintf("%q", []byte(v))
	}
	if got != want && why != longText && why != manyItems {
		t.Fatalf("%s\nis %s (%v)\nCEL: %s (%v, %v)", expression, got, why, want, wantWhy, evalErr)
	}
	// Where nothing but what is not there can be the reason, it is the first such thing.
	if isTest && !value && why != wantWhy && !strings.ContainsAny(expression, "?[+-*/%") && !strings.Contains(expression, "substring") {
		t.Fatalf("%s\nis false because %v, by CEL %v", expression, why, wantWhy)
	}
	return true, value
}

// TestCELAgrees: random expressions mean for us what they mean for CEL.
func TestCELAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	packets := []*policy.Facts{pxe(t), facts(t), {}, randomFacts(randomBytes(rng, 300))}
	const n = 1000
	compiled, trues := 0, 0
	for i := range n {
		w := writer{data: randomBytes(rng, 80)}
		text := w.truth(1 + i%4)
		if i%5 == 0 {
			text = w.text(1 + i%4)
		}
		ok, value := agree(t, text, packets[i%len(packets)])
		if ok {
			compiled++
		}
		if value {
			trues++
		}
	}
	t.Logf("%d of %d compiled, %d true", compiled, n, trues)
	if compiled < n/2 || trues < compiled/10 {
		t.Errorf("only %d of %d expressions compiled, %d were true", compiled, n, trues)
	}
}

func randomBytes(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// randomFacts makes facts of octets: options of the kinds that the tests' expressions
// read, of any length up to 63, whole and split, and relay information.
func randomFacts(data []byte) *policy.Facts {
	next := func(n int) []byte {
		n = min(n, len(data))
		b := data[:n]
		data = data[n:]
		return b
	}
	number := func() int {
		if b := next(1); len(b) == 1 {
			return int(b[0])
		}
		return 0
	}
	codes := []dhcp4.Code{12, 60, 77, 93, 55, 57, 61, 81, 119, 3, 43, 125, 97, 94, 19, 80, 224, 225, 226, 227, 228, 50, 26, 51, 137, 15}
	f := &policy.Facts{}
	message := make([]byte, dhcp4.MinSize)
	copy(message, next(44))
	message[2] %= 17
	copy(message[236:], "\x63\x82\x53\x63")
	for len(data) > 2 && len(message) < 4096 {
		code, size := codes[number()%len(codes)], number()%64
		value := next(size)
		message = append(append(message, byte(code), byte(len(value))), value...)
		if number()%4 == 0 {
			f.Agent = append(append(f.Agent, byte(1+number()%12), byte(len(value))), value...)
		}
	}
	v := new(dhcp4.View)
	if v.Parse(message) == nil {
		f.View, f.Type, f.HType, f.HW, f.CIAddr, f.GIAddr = v, v.MessageType(), v.HType(), v.CHAddr(), v.CIAddr(), v.GIAddr()
		f.ClientID, _ = v.Get(dhcp4.OptDHCPClientIdentifier, nil)
	}
	if len(f.ClientID) > 200 {
		f.ClientID = nil
	}
	f.Known = message[4]&1 == 0
	if message[4]&2 == 0 {
		f.Interface, f.Network = "eth0", &policy.Network{Name: "building-a"}
	}
	if message[4]&4 == 0 {
		f.Classes.Add(2)
	}
	return f
}

// FuzzCEL: whatever an expression and a packet are, nothing panics, and CEL's
// interpreter gives the same answer.
func FuzzCEL(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		f.Add(randomBytes(rng, 60), randomBytes(rng, 400), uint8(3))
	}
	f.Fuzz(func(t *testing.T, expression, packet []byte, depth uint8) {
		w := writer{data: expression}
		if depth%5 == 4 {
			agree(t, w.text(3), randomFacts(packet))
			return
		}
		agree(t, w.truth(int(depth%5)), randomFacts(packet))
	})
}

// FuzzText: no text panics, and every error has a place in it.
func FuzzText(f *testing.F) {
	for _, c := range classTests {
		f.Add(c.text)
	}
	for _, s := range []string{"option[", "\xff", "x.y.z", "[1].exists(a, a", "!", "option[\"host-name\"].all(x, x)", "1.5 == 2.0", "{}", "a{b:1}", "\"\\x\"", "known\n&&\nmember('x')"} {
		f.Add(s)
	}
	facts := &policy.Facts{}
	f.Fuzz(func(t *testing.T, text string) {
		test, _, err := CompileTest(text, testEnv)
		if err == nil {
			_, _ = test(facts)
			return
		}
		if err.Offset < 0 || err.Length < 0 || err.Offset+err.Length > len(text) || err.Line < 1 || err.Col < 1 || err.Message == "" {
			t.Fatalf("%q: %+v", text, err)
		}
		if v, err := CompileValue(text, testEnv); err == nil {
			v(facts)
		}
	})
}
