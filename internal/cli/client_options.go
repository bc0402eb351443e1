package cli

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"lessor/dhcp4"
	"lessor/internal/client"
)

// ownOptions are the options that the client sends itself, or that are not a
// client's to send, each with what to do instead. A user who could set them would
// make messages that contradict themselves (systemd #41006: option 82 set by a user
// ended the program).
var ownOptions = map[dhcp4.Code]string{
	dhcp4.OptPad:                      "it is no option, but filling",
	dhcp4.OptEnd:                      "it is no option, but the end of all",
	dhcp4.OptDHCPOptionOverload:       "the client writes it where it needs it",
	dhcp4.OptDHCPMessageType:          "the client says itself what it sends",
	dhcp4.OptDHCPServerIdentifier:     "the client names the server that it chose; --server-allow says which ones may be",
	dhcp4.OptDHCPMaxMessageSize:       "the client knows what it can take",
	dhcp4.OptDHCPAgentOptions:         "it is for relay agents alone (RFC 3046)",
	dhcp4.OptDHCPMessage:              "it goes with refusals, whose text the client writes",
	dhcp4.OptDHCPRenewalTime:          "it is the server's to say",
	dhcp4.OptDHCPRebindingTime:        "it is the server's to say",
	dhcp4.OptDHCPRequestedAddress:     "use --request ADDRESS",
	dhcp4.OptDHCPLeaseTime:            "use --lease-time TIME",
	dhcp4.OptDHCPParameterRequestList: "use --request-option NAME",
	dhcp4.OptDHCPClientIdentifier:     "use --client-id",
	dhcp4.OptHostName:                 "use --hostname NAME",
	dhcp4.OptFQDN:                     "use --fqdn NAME",
	dhcp4.OptUserClass:                "use --user-class TEXT",
	dhcp4.OptVendorClassIdentifier:    "use --vendor-class TEXT",
	dhcp4.OptRapidCommit:              "use --rapid-commit",
	dhcp4.OptV6OnlyPreferred:          "use --ipv6-only-capable",
}

// optionArg finds the option that was named by name or code; it may be one that no
// registry knows, then d is nil.
func optionArg(flag, name string) (code dhcp4.Code, d *dhcp4.Def, err error) {
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		return dhcp4.Code(n), dhcp4.Lookup(dhcp4.Code(n)), nil
	}
	if d := dhcp4.LookupName(name); d != nil {
		return d.Code, d, nil
	}
	hint := "Write a name or a code from 1 to 254; docs/options.md lists them."
	if near := dhcp4.Suggest(name); near != "" {
		hint = fmt.Sprintf("Did you mean %s? ", near) + hint
	}
	return 0, nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--%s: no option is called %q", flag, name), Hint: hint}
}

// asked reads --request-option: options to ask for beside those that are always asked for.
func (f *clientFlags) asked(c *client.Config) error {
	if len(f.requestOptions) == 0 {
		return nil
	}
	c.Params = slices.Clone(client.DefaultParams)
	for _, name := range f.requestOptions {
		code, _, err := optionArg("request-option", name)
		if err != nil {
			return err
		}
		if why, own := notAskable[code]; own {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--request-option cannot be %q: %s", name, why)}
		}
		if !slices.Contains(c.Params, code) {
			c.Params = append(c.Params, code)
		}
	}
	return nil
}

// notAskable are the options for which no client can ask.
var notAskable = map[dhcp4.Code]string{
	dhcp4.OptPad:                      "it is no option, but filling",
	dhcp4.OptEnd:                      "it is no option, but the end of all",
	dhcp4.OptDHCPOptionOverload:       "the server writes it where it needs it",
	dhcp4.OptDHCPMessageType:          "every message has it",
	dhcp4.OptDHCPParameterRequestList: "it is this list",
	dhcp4.OptDHCPAgentOptions:         "it is for relay agents alone (RFC 3046)",
	dhcp4.OptV6OnlyPreferred:          "use --ipv6-only-capable, which also does what it says",
}

// further reads --option.
func (f *clientFlags) further(c *client.Config) error {
	for _, text := range f.options {
		name, value, ok := strings.Cut(text, "=")
		if !ok {
			return wrongValue("option", text, "NAME=VALUE, such as root-path=/srv or 224=0a:0b")
		}
		code, d, err := optionArg("option", name)
		if err != nil {
			return err
		}
		if instead, own := ownOptions[code]; own {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--option cannot set option %d%s: %s", code, nameOf(d), instead)}
		}
		if slices.ContainsFunc(c.Options, func(o dhcp4.Option) bool { return o.Code == code }) {
			return exitf(ExitUsage, "--option sets option %d%s twice", code, nameOf(d))
		}
		if d == nil {
			d = &dhcp4.Def{Code: code, Name: fmt.Sprintf("option %d", code), Type: dhcp4.TypeBinary}
		}
		data, err := d.AppendValue(nil, []string{value})
		if err != nil {
			return &ExitError{Code: ExitUsage, Err: fmt.Errorf("--option %s: %w", shorten(text, 60), err)}
		}
		c.Options = append(c.Options, dhcp4.Option{Code: code, Data: data})
	}
	return nil
}

func nameOf(d *dhcp4.Def) string {
	if d == nil {
		return ""
	}
	return " (" + d.Name + ")"
}

// fits checks that a message with everything that the user set can be sent.
func (f *clientFlags) fits(c *client.Config) error {
	encoded := func(n int) int { return n + 2*max((n+254)/255, 1) }
	sum := len(c.Params)
	for _, o := range c.Options {
		sum += encoded(len(o.Data))
	}
	classes := 0
	for _, u := range c.UserClass {
		classes += 1 + len(u)
	}
	for _, n := range []int{len(c.HostName), len(c.FQDN), len(c.VendorClass), len(c.ClientID), classes} {
		if n > 0 {
			sum += encoded(n)
		}
	}
	if sum > maxUserOptions {
		return &ExitError{Code: ExitUsage, Err: fmt.Errorf("names, classes and options take %d octets of each message, and there is room for %d", sum, maxUserOptions),
			Hint: "Send fewer or shorter ones."}
	}
	return nil
}

// duid makes a client identifier that stays when the network card changes (RFC 4361
// 6.1): type 255, four octets that stand for the interface, and a DUID of type 4 (RFC 6355)
// made from this installation's machine-id, which it does not reveal.
func duid(ifname string) ([]byte, error) {
	const file = "/etc/machine-id"
	text, err := os.ReadFile(file)
	id := strings.TrimSpace(string(text))
	if err == nil && len(id) != 32 {
		err = errors.New(file + " holds no machine-id")
	}
	if err != nil {
		return nil, &ExitError{Code: ExitUsage, Err: fmt.Errorf("--client-id duid: %w", err),
			Hint: "Make one with systemd-machine-id-setup, or give the client identifier in hexadecimal."}
	}
	mac := hmac.New(sha256.New, []byte(id))
	mac.Write([]byte("lessor client DUID"))
	iaid := sha256.Sum256([]byte(ifname))
	out := append([]byte{255}, iaid[:4]...)
	out = append(out, 0, 4)
	return append(out, mac.Sum(nil)[:16]...), nil
}
