package config

// vocabulary says what each key takes. A key takes the same wherever it stands; where
// it does not, the entry is "kind of mapping/key". A test holds that every key of every
// table is here.
func vocabulary() map[string]value {
	duration, address, text := shapeOf("duration"), shapeOf("address"), shapeOf("text")
	boolean, options := shapeOf("boolean"), shapeOf("options")
	all := map[string]value{
		// The file.
		"interfaces":               oneOrMany(either(text, mappingOf(interfaceKeys, "name"))),
		"trusted":                  boolean,
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

		"shared-networks":  many(mappingOf(networkKeys, "name", "subnets")),
		"client-classes":   oneOrMany(text),
		"relays":           oneOrMany(either(address, shapeOf("range"))),
		"subnet-selection": words("relays", "allow"),
		"flex-id":          oneOrMany(text),
		"ingress-limits":   mappingOf(ingressKeys),
		"rate-limit":       text,
		"address-limit":    shapeOf("number"),

		"configuration/client-classes": many(mappingOf(classKeys, "name")),
		"configuration/flex-id":        text,
		"client class/test":            text,

		// All levels.
		"boot":               mappingOf(bootKeys),
		"next-server":        address,
		"server-hostname":    text,
		"boot-file-name":     text,
		"default":            text,
		"ipxe":               text,
		"valid-lifetime":     duration,
		"min-valid-lifetime": duration,
		"max-valid-lifetime": duration,
		"options":            options,
		"option-data":        many(mappingOf(optionKeys)),
		"code":               shapeOf("number"),
		"type":               text,
		"data":               shapeOf("value"),
		"space":              text,
		"always-send":        boolean,
		"never-send":         boolean,
		"option-definitions": many(mappingOf(definitionKeys, "name", "code", "type")),
		"array":              boolean,
		"record":             oneOrMany(text),

		// Subnets and what is in them.
		"relay":        either(oneOrMany(address), mappingOf(relayKeys)),
		"ip-addresses": oneOrMany(address),
		"interface":    text,
		"duid":         oneOrMany(text),
		"circuit-id":   oneOrMany(text),
		"remote-id":    oneOrMany(text),
		"subnet":       shapeOf("prefix"),
		"name":         text,
		"pools":        oneOrMany(either(shapeOf("range"), mappingOf(poolKeys, "pool"))),
		"pool":         shapeOf("range"),
		"exclude":      oneOrMany(shapeOf("range")),
		"reservations": many(mappingOf(reservationKeys)),
		"hw-address":   oneOrMany(text),
		"client-id":    oneOrMany(text),
		"ip-address":   address,
		"hostname":     text,
	}
	for name := range architectures {
		all[name] = text
	}
	return all
}
