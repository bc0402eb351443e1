package config

// vocabulary says what each key takes. A key takes the same wherever it stands; where
// it does not, the entry is "kind of mapping/key". A test holds that every key of every
// table is here.
func vocabulary() map[string]value {
	duration, address, text := shapeOf("duration"), shapeOf("address"), shapeOf("text")
	boolean, options := shapeOf("boolean"), shapeOf("options")
	return map[string]value{
		// The file.
		"interfaces":               oneOrMany(text),
		"subnets":                  many(mappingOf(subnetKeys, "subnet")),
		"authoritative":            boolean,
		"nak-delivery":             words("auto", "broadcast"),
		"server-identifier":        address,
		"offer-lifetime":           duration,
		"lease-grace":              either(words("auto"), duration),
		"decline-probation-period": duration,
		"conflict-check":           either(words("arp", "icmp", "off"), many(words("arp", "icmp"))),
		"match-client-id":          boolean,
		"rapid-commit":             boolean,
		"lease-database":           mappingOf(databaseKeys),
		"path":                     shapeOf("path"),

		// All levels.
		"valid-lifetime":     duration,
		"min-valid-lifetime": duration,
		"max-valid-lifetime": duration,
		"options":            options,
		"option-data":        many(mappingOf(optionKeys)),
		"code":               shapeOf("number"),
		"type":               text,
		"data":               shapeOf("value"),

		// Subnets and what is in them.
		"subnet":       shapeOf("prefix"),
		"name":         text,
		"pools":        oneOrMany(either(shapeOf("range"), mappingOf(poolKeys, "pool"))),
		"pool":         shapeOf("range"),
		"exclude":      oneOrMany(shapeOf("range")),
		"reservations": many(mappingOf(reservationKeys)),
		"hw-address":   text,
		"client-id":    text,
		"ip-address":   address,
		"hostname":     text,
	}
}
