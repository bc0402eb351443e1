package memory_test

import (
	"testing"

	"lessor/internal/store"
	"lessor/internal/store/memory"
	"lessor/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Factory{
		New: func(testing.TB) store.Store { return memory.New() },
	})
}
