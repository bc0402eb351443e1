package config

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"lessor/dhcp4"
)

// schema is a JSON Schema, or a part of one.
type schema = map[string]any

// SchemaID names the schema; nothing is there to fetch.
const SchemaID = "urn:lessor:configuration"

// Schema returns the JSON Schema (draft 2020-12) of a configuration, for editors. It
// is made of the tables that the parser reads with, so that no key is missing; what
// keys mean to each other only "config check" says.
var Schema = sync.OnceValue(func() []byte {
	b := &schemaMaker{keys: vocabulary(), notes: referenceNotes(), defs: schema{}}
	root := b.mapping("configuration", fileKeys)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = SchemaID
	root["title"] = "Lessor configuration"
	root["required"] = []string{"interfaces"}
	b.defs["options"] = b.options()
	for name, s := range shapes {
		b.defs[name] = s
	}
	root["$defs"] = b.defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // it is made of maps, lists and text
	}
	return append(out, '\n')
})

// table is a table of keys of any kind of mapping.
type table interface {
	names() []string
	kind() string
}

// kind is what the mapping is, without an article.
func (k *keys[T]) kind() string {
	for _, article := range []string{"a ", "an ", "the "} {
		if rest, ok := strings.CutPrefix(k.what, article); ok {
			return rest
		}
	}
	return k.what
}

// schemaMaker collects the parts of the schema.
type schemaMaker struct {
	keys  map[string]value
	notes map[string]map[string]string // of the reference file: kind of mapping, key
	defs  schema
}

// mapping is the schema of a mapping with the keys of t.
func (b *schemaMaker) mapping(kind string, t table) schema {
	props := schema{}
	for _, key := range t.names() {
		v, ok := b.keys[kind+"/"+key]
		if !ok {
			v, ok = b.keys[key]
		}
		s := schema{}
		if ok {
			s = v(b)
		}
		if note := b.note(kind, key); note != "" {
			s["description"] = note
		}
		props[key] = s
	}
	return schema{"type": "object", "properties": props, "additionalProperties": false}
}

// note is what the reference file says about a key of such a mapping, else what it
// says about the key elsewhere.
func (b *schemaMaker) note(kind, key string) string {
	if n := b.notes[kind][key]; n != "" {
		return n
	}
	if key == "name" || key == "client-classes" { // they mean something else elsewhere
		return ""
	}
	return b.notes["configuration"][key]
}

// value makes the schema of what a key takes.
type value func(b *schemaMaker) schema

// shapeOf is a value of one of the shapes.
func shapeOf(name string) value {
	return func(*schemaMaker) schema { return schema{"$ref": "#/$defs/" + name} }
}

// oneOrMany is a list, for which one value may stand.
func oneOrMany(v value) value {
	return func(b *schemaMaker) schema {
		return schema{"anyOf": []schema{v(b), {"type": "array", "items": v(b)}}}
	}
}

// many is a list that is always written as one.
func many(v value) value {
	return func(b *schemaMaker) schema { return schema{"type": "array", "items": v(b)} }
}

// either is one of several values.
func either(vs ...value) value {
	return func(b *schemaMaker) schema {
		all := make([]schema, len(vs))
		for i, v := range vs {
			all[i] = v(b)
		}
		return schema{"anyOf": all}
	}
}

// words is one of a few words.
func words(list ...string) value {
	return func(*schemaMaker) schema { return schema{"enum": list} }
}

// mappingOf is a mapping with the keys of t, of which some are required.
func mappingOf(t table, required ...string) value {
	return func(b *schemaMaker) schema {
		if b.defs[t.kind()] == nil {
			b.defs[t.kind()] = schema{} // it may contain itself
			s := b.mapping(t.kind(), t)
			if len(required) > 0 {
				s["required"] = required
			}
			b.defs[t.kind()] = s
		}
		return schema{"$ref": "#/$defs/" + t.kind()}
	}
}

const (
	addrPattern   = `(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(\.(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}`
	prefixPattern = addrPattern + `/(3[0-2]|[12]?[0-9])`
)

// shapes are the forms of single values.
var shapes = schema{
	// YAML's guess at what text is does not matter: Lessor reads it as it is written.
	"text":     schema{"type": []string{"string", "number", "boolean"}},
	"boolean":  schema{"type": "boolean"},
	"duration": schema{"type": []string{"string", "integer"}, "minimum": 0, "pattern": `^(infinite|[0-9]+|([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?)$`, "minLength": 1},
	"address":  schema{"type": "string", "pattern": "^" + addrPattern + "$"},
	"prefix":   schema{"type": "string", "pattern": "^" + prefixPattern + "$"},
	"range":    schema{"type": "string", "pattern": "^(" + addrPattern + "( *- *" + addrPattern + ")?|" + prefixPattern + ")$"},
	"path":     schema{"type": "string", "pattern": "^/"},
	"value":    items(scalar),
	"texts":    items(schema{"type": "string"}),
	"numbers":  items(number),
	"truth":    items(schema{"enum": []any{true, false, 0, 1, "yes", "no", "on", "off", "true", "false"}}),
	"number":   number,
}

var (
	scalar = schema{"type": []string{"string", "number", "boolean"}}
	number = schema{"type": []string{"integer", "string"}}
)

// items is one item, a list of items, or one of lists, each of which is an item in
// several words.
func items(s schema) schema {
	return schema{"anyOf": []schema{s, {"type": "array", "items": schema{"anyOf": []schema{s, {"type": "array", "items": s}}}}}}
}

// options is the mapping of option names, or the list of the long form.
func (b *schemaMaker) options() schema {
	props := schema{}
	for _, d := range dhcp4.All() {
		switch {
		case owned[d.Code] != "":
			props[d.Name] = false
		default:
			props[d.Name] = schema{"$ref": "#/$defs/" + optionShape(&d), "description": optionNote(&d)}
		}
	}
	value := schema{"$ref": "#/$defs/value"}
	byCode := schema{"anyOf": []schema{value, mappingOf(typedKeys)(b)}}
	mapping := schema{
		"type": "object", "properties": props, "additionalProperties": value,
		"patternProperties": schema{`^[0-9]{1,3}$`: byCode},
	}
	return schema{"anyOf": []schema{mapping, many(mappingOf(optionKeys))(b)}}
}

// optionShape is the shape of the values of d.
func optionShape(d *dhcp4.Def) string {
	switch d.Type {
	case dhcp4.TypeAddr, dhcp4.TypeAddr6:
		return "texts"
	case dhcp4.TypeUint8, dhcp4.TypeUint16, dhcp4.TypeUint32, dhcp4.TypeInt32:
		return "numbers"
	case dhcp4.TypeBool:
		return "truth"
	default:
		return "value"
	}
}

func optionNote(d *dhcp4.Def) string {
	note := fmt.Sprintf("Option %d takes %s.", d.Code, d.Takes())
	if d.RFC != 0 {
		note += fmt.Sprintf(" RFC %d.", d.RFC)
	}
	return note
}
