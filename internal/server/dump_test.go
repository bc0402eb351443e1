package server

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"lessor/internal/lease"
)

// DumpOf is the whole state of c as text, a field a line, whatever fields there will be;
// two cores with the same text decide the same for ever. Left out are the configuration, which
// never changes, and memory whose content means nothing between two inputs.
func DumpOf(c *Core) string {
	var d dumper
	d.value("core", reflect.ValueOf(c).Elem())
	return d.String()
}

type dumper struct{ strings.Builder }

// meaningless are fields by type and name.
var meaningless = map[string]bool{
	"Core.pol": true, "Core.q": true, "Core.reply": true, "Core.tr": true, "ethernet.net": true, "part.conf": true,
	"checks.ended": true, "Pool.walk": true,
	// Records are compared by what they say; where they lie is the table's affair.
	"Table.hint": true, "Table.entered": true, "Table.seed": true, "Table.addrKey": true, "Table.index": true,
	"Table.scratch": true, "Table.slabs": true, "Table.arena": true,
}

func (d *dumper) value(at string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.Type() == reflect.TypeFor[*lease.Table]() {
			d.table(at, (*lease.Table)(v.UnsafePointer()))
		}
		if !v.IsNil() {
			d.value(at, v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); !meaningless[v.Type().Name()+"."+f.Name] {
				d.value(at+"."+f.Name, v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(d, "%s: %d\n", at, v.Len())
		for i := range v.Len() {
			if e := v.Index(i); !e.IsZero() {
				d.value(fmt.Sprintf("%s[%d]", at, i), e)
			}
		}
	case reflect.Map:
		d.mapping(at, v)
	case reflect.Func:
	case reflect.Interface:
		panic(at + ": no interface was expected in a core")
	default:
		fmt.Fprintf(d, "%s: %v\n", at, v)
	}
}

// mapping writes a map in the order of its keys as text. Pools are keys too, and told
// apart by their addresses.
func (d *dumper) mapping(at string, v reflect.Value) {
	fmt.Fprintf(d, "%s: %d\n", at, v.Len())
	var entries []string
	for it := v.MapRange(); it.Next(); {
		var e dumper
		key := fmt.Sprint(it.Key())
		if it.Key().Kind() == reflect.Pointer {
			key = fmt.Sprint(it.Key().Elem().FieldByName("Range"))
		}
		e.value(at+"["+key+"]", it.Value())
		entries = append(entries, e.String())
	}
	slices.Sort(entries)
	for _, e := range entries {
		d.WriteString(e)
	}
}

func (d *dumper) table(at string, t *lease.Table) {
	t.Scan(0, 1<<30, func(s lease.Slot) {
		var b lease.Binding
		t.Binding(s, &b)
		fmt.Fprintf(d, "%s[%d]: %+v tag %d xid %d\n", at, s, b, t.Tag(s), t.XID(s))
	})
}
