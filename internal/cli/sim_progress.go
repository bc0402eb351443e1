package cli

import (
	"fmt"
	"sync"
	"time"

	"lessor/internal/sim"
)

// simProgress is the line on standard error that says how far many seeds have got: in
// place on a terminal, a line every ten seconds elsewhere, none with --quiet.
type simProgress struct {
	g       *globals
	begun   time.Time
	inPlace bool
	quit    chan struct{}
	done    chan struct{}

	mu       sync.Mutex
	stats    sim.Stats
	breaches int
	drawn    bool
}

func newSimProgress(g *globals) *simProgress {
	p := &simProgress{g: g, begun: time.Now(), quit: make(chan struct{}), done: make(chan struct{})}
	p.inPlace = isTerminal(g.stderr) && g.env("TERM") != "dumb"
	every := 10 * time.Second
	if p.inPlace {
		every = 200 * time.Millisecond
	}
	go p.show(every)
	return p
}

// each takes a finished run.
func (p *simProgress) each(_ uint64, r *sim.Result) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Add(&r.Stats)
	p.breaches += len(r.Breaches)
}

func (p *simProgress) show(every time.Duration) {
	defer close(p.done)
	if p.g.quiet {
		<-p.quit
		return
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			p.draw()
		case <-p.quit:
			return
		}
	}
}

func (p *simProgress) draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.line(time.Since(p.begun))
	if p.inPlace {
		fmt.Fprintf(p.g.stderr, "\r%s\x1b[K", shorten(line, widthOf(p.g.stderr)-1))
		p.drawn = true
		return
	}
	fmt.Fprintln(p.g.stderr, line)
}

// line is what is reached after so long.
func (p *simProgress) line(took time.Duration) string {
	s := &p.stats
	return fmt.Sprintf("%s  %s  %s simulated  %s  %s messages/s  %s", span(took), count(int64(s.Seeds), "seed"), hours(float64(s.Virtual)/1e9),
		count(s.Faults, "fault"), grouped(int64(float64(s.Messages)/max(took.Seconds(), 0.001))), breachCount(p.breaches))
}

func breachCount(n int) string {
	if n == 1 {
		return "1 breach"
	}
	return fmt.Sprintf("%d breaches", n)
}

// close takes the line away and returns how long it took.
func (p *simProgress) close() time.Duration {
	took := time.Since(p.begun)
	close(p.quit)
	<-p.done
	if p.drawn {
		fmt.Fprint(p.g.stderr, "\r\x1b[K")
	}
	return took
}
