package tracefile

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"lessor/dhcp4"
	"lessor/internal/lease"
	"lessor/internal/pool"
	"lessor/internal/server"
	"lessor/internal/store"
	"lessor/internal/trace"
)

const testConfig = "interfaces: [eth0]\nsubnets:\n  - {subnet: 198.18.0.0/24, pools: [198.18.0.100-198.18.0.199]}\n"

// bodies are one of each kind.
func bodies() []trace.Body {
	return []trace.Body{&trace.Clock{}, &trace.Loaded{}, &trace.Started{}, &trace.Ended{}, &trace.Config{}, &trace.Served{},
		&trace.Interface{}, &trace.Commit{}, &trace.Disk{}, &trace.StoreState{}, &trace.Frame{}, &trace.Happened{}, &trace.Counts{},
		&trace.Override{}, &trace.Client{}, &trace.Phase{}, &trace.Usage{}}
}

// scramble sets every field below v to something.
func scramble(r *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		scramble(r, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				scramble(r, v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+r.IntN(3), 4))
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			scramble(r, v.Index(i))
		}
	case reflect.String:
		v.SetString([]string{"", "a", "\x1b[0m \" \n", "ö"}[r.IntN(4)])
	case reflect.Bool:
		v.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt([]int64{0, 1, -1, math.MaxInt64, math.MinInt64, int64(r.Uint64())}[r.IntN(6)])
	case reflect.Int32:
		v.SetInt(int64(int32(r.Uint32())))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(r.Uint64() >> r.IntN(64) & (1<<v.Type().Bits() - 1))
	default:
		panic(v.Kind().String())
	}
}

func random(r *rand.Rand, b trace.Body) trace.Body {
	if _, ok := b.(*trace.Config); ok {
		return &trace.Config{Text: testConfig, Refused: true, Why: "it is \"bad\""}
	}
	v := reflect.New(reflect.TypeOf(b).Elem())
	scramble(r, v.Elem())
	b = v.Interface().(trace.Body)
	switch b := b.(type) {
	case *trace.Commit:
		b.Results = make([]store.Outcome, len(b.Changes))
		for i := range b.Results {
			b.Results[i] = store.Outcome(r.IntN(5))
			if b.Changes[i].Before.Addr == 0 {
				b.Changes[i].Before = lease.Binding{}
			}
		}
	case *trace.Served:
		for i := range b.Links {
			for j := range b.Links[i].Addrs {
				b.Links[i].Addrs[j].Bits = r.IntN(33)
			}
		}
	case *trace.Interface:
		for j := range b.Link.Addrs {
			b.Link.Addrs[j].Bits = r.IntN(33)
		}
	}
	return b
}

// Every field of every kind of entry is read back as it was written.
func TestEverythingIsReadBack(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		text, err := appendJSON(nil, &Header{Version: Version, World: true, Boot: make(Octets, 16)})
		if err != nil {
			t.Fatal(err)
		}
		var want []trace.Entry
		for _, b := range bodies() {
			e := trace.Entry{T: int64(r.Uint64() >> 1), Host: "h", Now: lease.Instant{M: r.Int64(), W: r.Int64()}, Body: random(r, b)}
			if text, err = appendLine(text, &e, true); err != nil {
				t.Fatal(err)
			}
			want = append(want, e)
		}
		rd := NewReader("test", bytes.NewReader(text))
		for _, w := range want {
			e, err := rd.Next()
			if err != nil {
				t.Fatalf("seed %d, %s: %v", seed, w.Body.Kind(), err)
			}
			if d := cmp.Diff(w, e); d != "" {
				t.Fatalf("seed %d, %s is not what was written:\n%s", seed, w.Body.Kind(), d)
			}
		}
		if _, err := rd.Next(); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}
	}
}

// A configuration comes back compiled, and as it was in force: a flag of the command line or
// a start without a file sets what is not in its text.
func TestConfigIsCompiled(t *testing.T) {
	in, err := (&configLine{Text: testConfig}).config()
	if err != nil {
		t.Fatal(err)
	}
	in.Policy.Authoritative, in.Policy.Careful, in.Policy.Interfaces = false, true, []string{"eth7"}
	out, err := configOf(in).config()
	if err != nil {
		t.Fatal(err)
	}
	p := out.Policy
	if p.Authoritative || !p.Careful || len(p.Interfaces) != 1 || p.Interfaces[0] != "eth7" ||
		p.SubnetOf(dhcp4.MustParseAddr("198.18.0.100")) == nil {
		t.Errorf("read back as %+v", p.Settings)
	}
	if _, err := (&configLine{Text: "subnet: x"}).config(); err == nil {
		t.Error("a text that was never in force is accepted")
	}
}

// Everything that has a number has a word, so that files can be read by people.
func TestNames(t *testing.T) {
	for _, n := range []names{stateNames, outcomeNames, eventNames, messageNames, reasonNames, poolNames} {
		for i := 1; i < len(n); i++ {
			if strings.Trim(n.of(i), "0123456789") == "" {
				t.Errorf("number %d of %q has no word", i, n)
			}
		}
	}
	if len(eventNames) != int(server.EventAlarm)+1 || len(poolNames) != int(pool.NumStates) {
		t.Error("a word is missing")
	}
}

func header(boot byte) string {
	return fmt.Sprintf(`{"lessor-trace":1,"host":"srv","store":"/s","boot":"%s"}`, strings.Repeat(fmt.Sprintf("%02x", boot), 16)) + "\n"
}

func readAll(text string) (n int, r *Reader, err error) {
	r = NewReader("f", strings.NewReader(text))
	for {
		if _, err = r.Next(); err != nil {
			return n, r, err
		}
		n++
	}
}

// What cannot be read is an error that names the line; what a crash leaves is a note.
func TestBadFiles(t *testing.T) {
	ended := `{"m":1,"w":2,"ended":{"clean":true}}` + "\n"
	for _, c := range []struct {
		name, text string
		entries    int
		err        string // "": read to the end
		note       string
	}{
		{"empty", "", 0, "", ""},
		{"whole", header(1) + ended, 1, "", ""},
		{"no header", ended, 0, "f:1: no trace file", ""},
		{"a capture", "\xd4\xc3\xb2\xa1\n", 0, "f:1: no trace file", ""},
		{"another version", `{"lessor-trace":2,"new":{}}` + "\n" + ended, 0, "f:1: a trace of version 2; this program reads version 1", ""},
		{"bad boot id", `{"lessor-trace":1,"boot":"00"}` + "\n", 0, "f:1: a boot id of 1 octets", ""},
		{"unknown key", header(1) + `{"m":1,"new":{}}` + "\n" + ended, 0, "f:2: json: unknown field", ""},
		{"no body", header(1) + ended + `{"m":1}` + "\n" + ended, 1, "f:3: it must have one body and has 0", ""},
		{"two bodies", header(1) + `{"ended":{},"phase":{}}` + "\n" + ended, 0, "f:2: it must have one body and has 2", ""},
		{"unknown word", header(1) + `{"event":{"kind":"explosion"}}` + "\n" + ended, 0, `f:2: no event is called "explosion"`, ""},
		{"not hex", header(1) + `{"clock":{"boot":"xy"}}` + "\n" + ended, 0, `f:2: "xy" is not hexadecimal`, ""},
		{"two objects", header(1) + `{"ended":{}}{}` + "\n" + ended, 0, "f:2: something follows the object", ""},
		{"last line cut", header(1) + ended + ended[:12], 1, "", "f:3: the last line is cut short"},
		{"cut, then a restart", header(1) + ended + ended[:12] + "\n" + header(1) + ended, 2, "", "f:3: a line is cut short"},
		{"cut in the middle", header(1) + ended[:12] + "\n" + ended, 0, "f:2: unexpected EOF", ""},
		{"given up", header(1) + ended + `{"incomplete":{"why":"no space"}}` + "\n", 2, "", "f:3: the trace of this run ends here, for it could not be written: no space"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, r, err := readAll(c.text)
			if n != c.entries {
				t.Errorf("%d entries, want %d", n, c.entries)
			}
			if c.err == "" && err != io.EOF || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if notes := strings.Join(r.Notes(), "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestALineIsBounded(t *testing.T) {
	_, err := NewReader("f", zeros{}).Next()
	if err == nil || !strings.Contains(err.Error(), "a line of more than 64 MiB") {
		t.Errorf("error %v", err)
	}
}

func FuzzReader(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, b := range bodies() {
		text, err := appendLine([]byte(header(1)), &trace.Entry{Body: random(r, b)}, true)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(header(1) + `{"incomplete":{"why":""}}` + "\n{\n" + header(2)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var m Merge
		if m.Trace("f", bytes.NewReader(text)) == nil {
			m.Done()
		}
	})
}
