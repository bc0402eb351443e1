package dhcp4

import "strings"

// Type is the format of an option's value. All numbers are in network order.
type Type uint8

// The types. A list repeats the type; only numbers, addresses, names and records
// are lists.
const (
	TypeNone          Type = iota // the code alone, no value (PAD, END), or a value of no octets
	TypeFlag                      // no octets: being there is the value
	TypeUint8                     // one octet
	TypeUint16                    // two octets
	TypeUint32                    // four octets
	TypeInt32                     // four octets, two's complement
	TypeBool                      // one octet, 0 or 1
	TypeAddr                      // an IPv4 address
	TypeAddr6                     // an IPv6 address
	TypeString                    // text without a terminating NUL
	TypeBinary                    // any octets
	TypeFQDN                      // a domain name as labels (RFC 1035 3.1), read with compression
	TypeClientFQDN                // flags, two result codes, a name that may be partial (RFC 4702 2)
	TypeRoutes                    // prefix length, significant octets, router; repeated (RFC 3442)
	TypeRecord                    // Fields one after the other
	TypeSubOptions                // code, length, value; repeated
	TypeSIPServers                // an octet 0 and names, or an octet 1 and addresses (RFC 3361)
	TypeVendorClasses             // enterprise number, length, classes each with a length; repeated (RFC 3925 3)
	TypeVendorOptions             // enterprise number, length, sub-options; repeated (RFC 3925 4)
	TypeAddrGroups                // length, addresses; repeated (RFC 7291 4)
	TypeTuples                    // two octets of length, text; repeated (RFC 8572 8.1)
	TypeDNR                       // encrypted resolvers (RFC 9463 5.1)
)

var typeNames = [...]string{
	TypeNone: "none", TypeFlag: "flag", TypeUint8: "uint8", TypeUint16: "uint16", TypeUint32: "uint32",
	TypeInt32: "int32", TypeBool: "boolean", TypeAddr: "ipv4-address", TypeAddr6: "ipv6-address",
	TypeString: "string", TypeBinary: "binary", TypeFQDN: "fqdn", TypeClientFQDN: "client fqdn",
	TypeRoutes: "routes", TypeRecord: "record", TypeSubOptions: "sub-options", TypeSIPServers: "sip servers",
	TypeVendorClasses: "vendor classes", TypeVendorOptions: "vendor options", TypeAddrGroups: "address groups",
	TypeTuples: "texts", TypeDNR: "encrypted resolvers",
}

// String returns the type's name in documents and messages.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown type"
}

// size is the octets of a value of type t, or 0 when that varies.
func (t Type) size() int {
	switch t {
	case TypeUint8, TypeBool:
		return 1
	case TypeUint16:
		return 2
	case TypeUint32, TypeInt32, TypeAddr:
		return 4
	case TypeAddr6:
		return 16
	default:
		return 0
	}
}

// Field is one field of a record.
type Field struct {
	Type Type
	Many bool // once or more, up to the end of the value
}

// Def describes one option, or one sub-option of option 82.
type Def struct {
	Code        Code
	Name        string
	Type        Type
	List        bool // the type, once or more
	RFC         int  // 0: no RFC
	DhcpdName   string
	DnsmasqName string
	Fields      []Field // of TypeRecord
	Pairs       bool    // a list of pairs: an even number of items
	Min         int     // the least octets, where the type alone allows fewer
	Compress    bool    // a list of names is written with compression (RFC 3397)
}

var (
	byCode      = indexDefs(table)
	agentByCode = indexDefs(agentTable)
)

func indexDefs(defs []Def) (index [256]*Def) {
	for i := range defs {
		index[defs[i].Code] = &defs[i]
	}
	return index
}

// Lookup returns the definition of option c, or nil when the registry has none.
// It is shared and never changes.
func Lookup(c Code) *Def { return byCode[c] }

// LookupAgent returns the definition of a sub-option of option 82, or nil.
func LookupAgent(sub uint8) *Def { return agentByCode[sub] }

// LookupName returns the definition of the option of that name, or nil. Names
// that only dhcpd or dnsmasq uses are not found: see Suggest.
func LookupName(name string) *Def {
	for i := range table {
		if table[i].Name == name {
			return &table[i]
		}
	}
	return nil
}

// All returns every option of the registry, ascending by code. The slice is
// shared: do not change it.
func All() []Def { return table }

// AgentSubOptions returns every sub-option of option 82, ascending by code. The
// slice is shared: do not change it.
func AgentSubOptions() []Def { return agentTable }

// Size returns the only length that a value of d can have, in octets, and
// whether there is only one.
func (d *Def) Size() (n int, fixed bool) {
	switch {
	case d.List:
		return 0, false
	case d.Type == TypeNone, d.Type == TypeFlag:
		return 0, true
	case d.Type == TypeRecord:
		for _, f := range d.Fields {
			if f.Many || f.Type.size() == 0 {
				return 0, false
			}
			n += f.Type.size()
		}
		return n, true
	default:
		n = d.Type.size()
		return n, n > 0
	}
}

// Layout describes the value in words for documents, for example "list of
// ipv4-address" or "uint8, string".
func (d *Def) Layout() string {
	switch {
	case d.Type == TypeRecord:
		parts := make([]string, len(d.Fields))
		for i, f := range d.Fields {
			parts[i] = f.Type.String()
			if f.Many {
				parts[i] += "..."
			}
		}
		return "record: " + strings.Join(parts, ", ")
	case d.Pairs:
		return "list of " + d.Type.String() + " pairs"
	case d.List && d.Type != TypeSIPServers && d.Type != TypeTuples:
		return "list of " + d.Type.String()
	default:
		return d.Type.String()
	}
}

// Suggest returns the option name nearest to name, or "" when none is near. A
// name that dhcpd or dnsmasq uses for an option is as near as can be.
func Suggest(name string) string {
	name = strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if len(name) > 64 {
		return ""
	}
	best, least := "", len(name)/3+1
	for i := range table {
		d := &table[i]
		for _, n := range [...]string{d.Name, d.DhcpdName, d.DnsmasqName} {
			if n == "" || name == "" {
				continue
			}
			if dist := distance(name, strings.ToLower(n)); dist < least {
				best, least = d.Name, dist
			}
		}
	}
	return best
}

// distance is how many letters must be put in, left out or changed to make b of
// a; two letters swapped count once.
func distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, prev, row = prev, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
