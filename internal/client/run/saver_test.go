package run

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A disk that hangs keeps nobody waiting but the saver; what came meanwhile is written
// once, in its newest form; what fails is tried again, and told once.
func TestSaver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var written, told []string
		hang, fail := make(chan struct{}), 0
		write := func(b []byte) error {
			<-hang
			if fail > 0 {
				fail--
				return errors.New("no space")
			}
			written = append(written, string(b))
			return nil
		}
		warn := func(text string) { told = append(told, text) }
		var s saver
		put := func(text string) { s.put([]byte(text), write, warn) }
		for _, text := range []string{"1", "2", "3"} {
			put(text) // returns at once
			synctest.Wait()
		}
		close(hang)
		synctest.Wait()
		if !slices.Equal(written, []string{"1", "3"}) {
			t.Errorf("written: %q, want what was under way and the newest", written)
		}

		fail = 3
		put("4")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if !slices.Equal(written, []string{"1", "3", "4"}) || len(told) != 1 {
			t.Errorf("after a disk that was full: written %q, told %q", written, told)
		}

		fail = 1000
		put("5")
		synctest.Wait()
		fail = 0
		put("6") // does not wait for the pause
		synctest.Wait()
		if !slices.Equal(written, []string{"1", "3", "4", "6"}) {
			t.Errorf("written: %q", written)
		}

		fail = 1000
		put("7")
		synctest.Wait()
		begun := time.Now()
		s.close()
		if took := time.Since(begun); took > 0 {
			t.Errorf("the end waited %s for a disk that is full", took)
		}
	})
}
