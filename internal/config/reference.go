package config

import _ "embed"

//go:embed reference.yaml
var reference string

// Reference returns the text of a configuration file that has every key, with a
// comment and its default value.
func Reference() string { return reference }
