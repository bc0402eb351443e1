package sim

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"lessor/internal/spell"
)

// ParseScenario reads the text of a scenario. file is for messages, and its last part
// without the ending is the scenario's name. All faults are reported at once, each on a
// line "file:line:column: text", the first 20 of them.
func ParseScenario(file, text string) (*Scenario, error) {
	p := &scenarioParser{file: file, s: usualScenario(), seen: map[string]int{}}
	p.s.Name = strings.TrimSuffix(path.Base(file), ".txt")
	if len(text) > maxScenario {
		return nil, fmt.Errorf("%s: a scenario has at most %d octets", file, maxScenario)
	}
	began := false
	for line := range strings.Lines(text) {
		p.line++
		line = strings.TrimRight(line, "\r\n")
		comment, is := strings.CutPrefix(strings.TrimSpace(line), "#")
		if is && !began {
			p.s.Idea = strings.TrimSpace(p.s.Idea + " " + strings.TrimSpace(comment))
		} else {
			began = true
			p.read(line)
		}
	}
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs[:min(len(p.errs), 20)]...)
	}
	return p.s, nil
}

type scenarioParser struct {
	file string
	line int
	s    *Scenario
	seen map[string]int // the line of each key
	errs []error
}

// errorf reports a fault at a column, which counts from 0.
func (p *scenarioParser) errorf(col int, format string, args ...any) {
	if len(p.errs) <= 20 {
		p.errs = append(p.errs, fmt.Errorf("%s:%d:%d: %s", p.file, p.line, col+1, fmt.Sprintf(format, args...)))
	}
}

// read reads one line "key value", with a comment after it or not.
func (p *scenarioParser) read(line string) {
	line, _, _ = strings.Cut(line, "#")
	at := len(line) - len(strings.TrimLeft(line, " \t"))
	key := strings.TrimSpace(line)
	value, valueAt := "", len(line)
	if end := strings.IndexAny(key, " \t"); end >= 0 {
		value = strings.TrimSpace(key[end:])
		key = key[:end]
		valueAt = strings.Index(line[at+end:], value) + at + end
	}
	if key == "" {
		return
	}
	i := slices.IndexFunc(scenarioKeys, func(k scenarioKey) bool { return k.key == key })
	switch {
	case i < 0:
		var names []string
		for _, k := range scenarioKeys {
			names = append(names, k.key)
		}
		p.errorf(at, "there is no key %s%s", quoted(key), didYouMean(key, names))
	case p.seen[key] > 0:
		p.errorf(at, "%s is there twice; the other one is in line %d", key, p.seen[key])
	case value == "":
		p.errorf(at, "%s has no value", key)
	default:
		p.seen[key] = p.line
		p.value(&scenarioKeys[i], valueAt, value)
	}
}

func (p *scenarioParser) value(k *scenarioKey, at int, value string) {
	if k.words != nil {
		p.pick(k, at, value)
		return
	}
	lo, hi, isSpan := strings.Cut(value, "..")
	if isSpan && k.as == shares && !strings.Contains(lo, "%") {
		lo += "%" // 0..30%
	}
	least, err := k.parse(lo)
	most := least
	if err == nil && isSpan {
		most, err = k.parse(hi)
	}
	switch {
	case err != nil:
		p.errorf(at, "%s %v", k.key, err)
	case least > most:
		p.errorf(at, "%s goes from %s down to %s", k.key, lo, hi)
	case least < k.least || most > k.most:
		p.errorf(at, "%s must lie between %s and %s", k.key, k.show(k.least), k.show(k.most))
	case k.span == nil && isSpan:
		p.errorf(at, "%s is one number", k.key)
	case k.span == nil:
		p.s.Exchanges = least
	default:
		*k.span(p.s) = Span{least, most}
	}
}

// pick reads a list of words.
func (p *scenarioParser) pick(k *scenarioKey, at int, value string) {
	var picked []string
	for word := range strings.SplitSeq(value, ",") {
		w := strings.TrimSpace(word)
		switch {
		case !slices.Contains(k.words, w):
			p.errorf(at, "%s is one or some of %s, but not %s%s", k.key, strings.Join(k.words, ", "), quoted(w), didYouMean(w, k.words))
			return
		case slices.Contains(picked, w):
			p.errorf(at, "%s is there twice", w)
			return
		}
		picked = append(picked, w)
		at += len(word) + 1
	}
	*k.pick(p.s) = picked
}

// units of durations; the longest first.
var durationUnits = []struct {
	name string
	size int64
}{{"d", day}, {"h", 3600 * second}, {"m", 60 * second}, {"s", second}}

// parse reads one value of a span.
func (k *scenarioKey) parse(text string) (int64, error) {
	text = strings.TrimSpace(text)
	switch k.as {
	case shares:
		number, ok := strings.CutSuffix(text, "%")
		v, err := strconv.ParseFloat(number, 64)
		if !ok || err != nil || !(v >= 0 && v <= 100) {
			return 0, fmt.Errorf("is a share such as 30%% or 0..30%%, but not %s", quoted(text))
		}
		return int64(v*percent + 0.5), nil
	case ratios:
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= 1000) {
			return 0, fmt.Errorf("is a number such as 1.5 or 0.5..1.5, but not %s", quoted(text))
		}
		return int64(v*1000 + 0.5), nil
	case durations:
		for _, u := range durationUnits {
			if number, ok := strings.CutSuffix(text, u.name); ok {
				if v, err := strconv.ParseUint(number, 10, 32); err == nil && v <= uint64(2*maxRun/u.size) {
					return int64(v) * u.size, nil
				}
			}
		}
		return 0, fmt.Errorf("is a duration such as 90s, 20m, 2h or 3d, but not %s", quoted(text))
	}
	v, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("is a number such as 3 or 0..3, but not %s", quoted(text))
	}
	return int64(v), nil
}

// show writes a value as parse reads it.
func (k *scenarioKey) show(v int64) string {
	switch k.as {
	case shares:
		return strconv.FormatFloat(float64(v)/percent, 'f', -1, 64) + "%"
	case ratios:
		return strconv.FormatFloat(float64(v)/1000, 'f', -1, 64)
	case durations:
		for _, u := range durationUnits {
			if v%u.size == 0 {
				return strconv.FormatInt(v/u.size, 10) + u.name
			}
		}
	}
	return strconv.FormatInt(v, 10)
}

// quoted is a word of the file for a message.
func quoted(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.Quote(s)
}

// didYouMean names the word of list that word is closest to.
func didYouMean(word string, list []string) string {
	if len(word) > 40 || len(list) == 0 {
		return ""
	}
	best := slices.MinFunc(list, func(a, b string) int { return cmp.Compare(spell.Distance(word, a), spell.Distance(word, b)) })
	if spell.Distance(word, best) > 1+len(best)/4 {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}
